package kernel

import (
	"net"
	"net/netip"
	"os"
	"testing"
)

func TestSocketOwner(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			local, remote := addrPort(t, server.LocalAddr()), addrPort(t, server.RemoteAddr())
			if uid, found, err := SocketOwner(local, remote); err != nil || !found || uid != uint32(os.Getuid()) {
				t.Errorf("owner %d, found %t, %v, want %d", uid, found, err, os.Getuid())
			}
			// Nobody is connected from the listener's port.
			if uid, found, err := SocketOwner(remote, netip.AddrPortFrom(remote.Addr(), local.Port()+1)); err != nil || found {
				t.Errorf("an unknown port: owner %d, found %t, %v", uid, found, err)
			}
			if uid, found, err := SocketOwner(netip.AddrPortFrom(local.Addr(), 1), local); err != nil || found {
				t.Errorf("a listener: owner %d, found %t, %v", uid, found, err)
			}
			client.Close()
			if uid, found, err := SocketOwner(local, remote); err != nil || found {
				t.Errorf("after its close: owner %d, found %t, %v", uid, found, err)
			}
		})
	}
}

func addrPort(t *testing.T, a net.Addr) netip.AddrPort {
	t.Helper()
	return a.(*net.TCPAddr).AddrPort()
}
