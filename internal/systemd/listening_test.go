package systemd_test

import (
	"net"
	"path/filepath"
	"slices"
	"testing"

	"oauth-proxyd/internal/systemd"
)

// Lines of /proc/net as a little-endian host shows them: of sockets that listen, and of some that
// are connected.
const (
	tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 20 4 30 10 -1
`
	tcp6 = `   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100
   1: 000080FE000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0 100
   2: 000080FE000000000000000002000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15 1 0 100
`
	unix = `Num       RefCount Protocol Flags    Type St Inode Path
ffff: 00000002 00000000 00010000 0001 01 16 /run/a.sock
ffff: 00000003 00000000 00000000 0001 03 17 /run/b.sock
ffff: 00000003 00000000 00000000 0001 03 18
`
)

func TestWhereSystemdListens(t *testing.T) {
	t.Parallel()
	tables := map[string]string{"tcp": tcp, "tcp6": tcp6, "unix": unix}
	for _, row := range []struct {
		address      string
		open, isHeld bool
	}{
		{"127.0.0.1:8080", true, true},
		{"[::]:8080", true, false}, // another process listens
		{"[fe80::1]:8080%eth0", true, true},
		{"[fe80::2]:8080", true, false},
		{"/run/a.sock", true, true},
		{"127.0.0.1:8081", false, false},
		{"0.0.0.0:8080", false, false},
		{"[::1]:8080", false, false},
		{"/run/b.sock", false, false},
	} {
		if open := len(systemd.NotOpen(tables, nil, row.address)) == 0; open != row.open {
			t.Errorf("%s is open: %t", row.address, open)
		}
		held := map[string]bool{"11": true, "12": true, "14": true, "16": true, "17": true}
		if open := len(systemd.NotOpen(tables, held, row.address)) == 0; open != row.isHeld {
			t.Errorf("%s is open and held: %t", row.address, open)
		}
	}
}

func TestWhatListensHere(t *testing.T) {
	t.Parallel()
	var addresses []string
	for _, at := range [][2]string{{"tcp", "127.0.0.1:0"}, {"unix", filepath.Join(t.TempDir(), "a.sock")}} {
		l, err := net.Listen(at[0], at[1])
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	absent := filepath.Join(t.TempDir(), "b.sock")
	if closed := systemd.NotOpenHere(append(addresses, absent)...); !slices.Equal(closed, []string{absent}) {
		t.Errorf("closed are %q", closed)
	}
}
