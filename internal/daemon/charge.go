package daemon

// role is what this process is to the service. In a hand-over (doc.go) there are two processes:
//
//	step  old         new        accept connections  admin socket, textfile
//	1–3   inCharge    candidate  old                 old
//	4     leaving     candidate  old                 old's socket, no textfile
//	5     leaving     inCharge   both                new
//	6–8   handedOver  inCharge   new                 new
//
// Only a process in charge notifies systemd and pings the watchdog, so in step 4 none does. If that
// step fails, the old process is in charge again. A process that systemd starts is in charge from
// the start.
type role int

const (
	inCharge   role = iota // of the service
	candidate              // started by a predecessor, and not in charge yet
	leaving                // has named its successor to systemd
	handedOver             // finishes its requests
)

// become changes the role, and with it whether this process writes the textfile and has the admin
// socket.
func (d *daemon) become(r role) {
	d.role = r
	switch r {
	case inCharge:
		d.textfile.use(d.view().config.Metrics)
		d.publishAdmin()
	case leaving:
		d.textfile.leave()
	case handedOver:
		d.closeAdmin()
	}
}
