package kernel

import (
	"net"
	"net/netip"
	"testing"
)

func TestIsOwn(t *testing.T) {
	addresses := map[string]bool{"127.0.0.1": true, "127.9.9.9": true, "::1": true, "192.0.2.1": false, "2001:db8::1": false}
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		addresses[one.(*net.IPNet).IP.String()] = true
	}
	for text, want := range addresses {
		if own, err := IsOwn(netip.MustParseAddr(text)); own != want || err != nil {
			t.Errorf("%s: %t, %v", text, own, err)
		}
	}
}
