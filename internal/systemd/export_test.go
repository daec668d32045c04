package systemd

// NotOpen returns the addresses on which nothing listens, or, unless held is nil, no socket with
// one of those inodes does. tables are those of /proc/net, by name.
func NotOpen(tables map[string]string, held map[string]bool, addresses ...string) []string {
	open := listening{held, map[string]bool{}}
	for name, text := range tables {
		open.parse(name, text)
	}
	return Unit{Active: "active", Listen: addresses}.notOpen(open)
}

// ParseView exports parseView.
func ParseView(shown string) []string { return parseView(shown) }

// NotOpenHere returns the addresses on which no process of this host listens.
func NotOpenHere(addresses ...string) []string {
	return Unit{Active: "active", Listen: addresses}.notOpen(readListening(nil))
}
