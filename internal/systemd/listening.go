package systemd

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// listening holds the addresses on which sockets of this host listen.
type listening struct {
	held map[string]bool // the inodes of the sockets that count; nil: all do
	open map[string]bool // by host and port, or the path of a Unix socket; nil: unknown
}

// readListening reads /proc.
func readListening(held map[string]bool) listening {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		return listening{} // a sandbox with processes only (ProcSubset=pid)
	}
	l := listening{held, map[string]bool{}}
	for _, name := range []string{"tcp", "tcp6", "unix"} {
		text, _ := os.ReadFile("/proc/net/" + name) // a kernel without IPv6 has no tcp6
		l.parse(name, string(text))
	}
	return l
}

// heldBySystemd returns the inodes of the sockets of process 1; nil: this user is not root, and may
// not see them.
func heldBySystemd() (held map[string]bool) {
	links, _ := filepath.Glob("/proc/1/fd/*") // the pattern is valid
	if len(links) > 0 {
		held = map[string]bool{}
	}
	for _, link := range links {
		target, _ := os.Readlink(link) // may be closed by now
		held[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
	}
	return held
}

// parse adds the sockets of a table of /proc/net, see proc_net_tcp and proc_pid_net(5).
func (l listening) parse(table, text string) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case table != "unix" && len(f) > 9 && f[3] == "0A": // TCP_LISTEN
			l.add(f[9], parseKernelAddress(f[1]))
		case table == "unix" && len(f) > 7 && f[3] == "00010000": // __SO_ACCEPTCON
			l.add(f[6], f[7])
		}
	}
}

func (l listening) add(inode, address string) {
	if l.held == nil || l.held[inode] {
		l.open[address] = true
	}
}

// parseKernelAddress reads "0100007F:1F90": words of the host's byte order, and a port.
func parseKernelAddress(text string) string {
	host, port, _ := strings.Cut(text, ":")
	raw, _ := hex.DecodeString(host)
	for word := range slices.Chunk(raw, 4) {
		if len(word) == 4 {
			binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
		}
	}
	address, _ := netip.AddrFromSlice(raw)
	number, _ := strconv.ParseUint(port, 16, 16)
	return netip.AddrPortFrom(address, uint16(number)).String()
}

// has reports whether a socket listens on an address of a socket unit. Without /proc/net, every
// address counts.
func (l listening) has(address string) bool {
	bare, _, _ := strings.Cut(address, "%") // "[fe80::1]:8080%eth0"
	if parsed, err := netip.ParseAddrPort(bare); err == nil {
		address = parsed.String()
	}
	return l.open == nil || l.open[address]
}
