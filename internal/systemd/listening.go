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

// listening holds the sockets of this host that listen.
type listening struct {
	inodes map[string][]string // by address: host and port, or the path of a Unix socket; nil: unknown
	held   map[string]bool     // the inodes that process 1 holds; nil: this user may not see them
}

// readListening reads /proc. Only root sees what process 1 holds.
func readListening() listening {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		return listening{} // a sandbox with processes only (ProcSubset=pid)
	}
	l := listening{inodes: map[string][]string{}, held: heldBy("/proc/1/fd")}
	for _, name := range []string{"tcp", "tcp6", "unix"} {
		text, _ := os.ReadFile(filepath.Join("/proc/net", name)) // a kernel without IPv6 has no tcp6
		l.parse(name, string(text))
	}
	return l
}

// heldBy returns the inodes of the sockets among the descriptors of a process.
func heldBy(dir string) map[string]bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	held := map[string]bool{}
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(dir, e.Name())) // may be closed by now
		if inode, found := strings.CutPrefix(target, "socket:["); found {
			held[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return held
}

// parse adds the sockets of a table of /proc/net, see proc_net_tcp and proc_pid_net(5).
func (l listening) parse(table, text string) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case table != "unix" && len(f) > 9 && f[3] == "0A": // TCP_LISTEN
			address := parseKernelAddress(f[1])
			l.inodes[address] = append(l.inodes[address], f[9])
		case table == "unix" && len(f) > 7 && f[3] == "00010000": // __SO_ACCEPTCON
			l.inodes[f[7]] = append(l.inodes[f[7]], f[6])
		}
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

// has reports whether process 1 holds a socket that listens on an address of a socket unit. If this
// user may not see that, a socket of any process counts, and without /proc/net every address.
func (l listening) has(address string) bool {
	bare, _, _ := strings.Cut(address, "%") // "[fe80::1]:8080%eth0"
	if parsed, err := netip.ParseAddrPort(bare); err == nil {
		address = parsed.String()
	}
	return l.inodes == nil || slices.ContainsFunc(l.inodes[address], func(inode string) bool { return l.held == nil || l.held[inode] })
}
