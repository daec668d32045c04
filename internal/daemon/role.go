package daemon

// role is what this process is to the service. In a hand-over there are two processes. By the
// steps of doc.go:
//
//	step  predecessor  successor  accepts connections  has the socket  writes the textfile
//	1–3   inCharge     candidate  predecessor          predecessor     predecessor
//	4     leaving      candidate  predecessor          predecessor     neither
//	5     leaving      inCharge   both                 successor       successor
//	6–8   handedOver   inCharge   successor            successor       successor
//
// The socket is the admin socket. Only a process in charge notifies systemd and pings the watchdog,
// so in step 4 neither does. If that step fails, the predecessor is in charge again. A process that
// systemd starts is in charge from the start.
type role int

const (
	inCharge   role = iota // of the service
	candidate              // started by a predecessor, and not in charge yet
	leaving                // has named the successor to systemd
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
