package path_test

import (
	"net"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"oauth-proxyd/internal/lab/labapi"
)

// listenPacket listens on the host to the end of the test.
func (h *host) listenPacket(address string) (c net.PacketConn) {
	h.t.Helper()
	err := h.within(func() (err error) {
		c, err = net.ListenPacket("udp", address)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// serveNames responds to every question with these addresses, to the end of the test.
func (h *host) serveNames(address string, v4 [4]byte, v6 *[16]byte) {
	h.t.Helper()
	c := h.listenPacket(address)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			if response, err := resolve(buffer[:n], v4, v6); err == nil {
				_, _ = c.WriteTo(response, from) // the client may be gone
			}
		}
	}()
	h.t.Cleanup(func() { c.Close(); <-done })
}

func resolve(question []byte, v4 [4]byte, v6 *[16]byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	asked := m.Questions[0]
	header := dnsmessage.ResourceHeader{Name: asked.Name, Class: asked.Class, Type: asked.Type, TTL: 60}
	switch {
	case asked.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: v4}}}
	case asked.Type == dnsmessage.TypeAAAA && v6 != nil:
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: *v6}}}
	}
	return m.Pack()
}

// A name server that is silent costs the first request a second or so, and doctor names it.
func TestASilentNameServer(t *testing.T) {
	t.Parallel()
	h, a := newHost(t, "", "nameserver 127.0.0.2\nnameserver 127.0.0.3\n"), newAPI(t)
	h.listenPacket("127.0.0.2:53")
	h.serveNames("127.0.0.3:53", [4]byte{127, 0, 0, 1}, nil)
	a.serveTLS(h, "127.0.0.1:443", labapi.Handler(labapi.Config{}), "h2")
	d := startDaemon(h, a.pem, `  upstream_url = "https://`+apiName+`"`)
	began := time.Now()
	d.mustAsk()
	t.Logf("the first request took %v", time.Since(began))
	all := d.findings()
	want(t, all, "upstream dns", "warn", "the name server 127.0.0.2 did not respond", "resolvectl", "/etc/resolv.conf")
	want(t, all, "upstream http", "ok", "401")
}

// Where all name servers are silent, the request fails at once with the reason, and doctor names
// them.
func TestNoNameServer(t *testing.T) {
	t.Parallel()
	h := newHost(t, "", "nameserver 127.0.0.2\nnameserver 127.0.0.4\n")
	h.listenPacket("127.0.0.2:53")
	h.listenPacket("127.0.0.4:53")
	d := startDaemon(h, newAPI(t).pem, `  upstream_url = "https://`+apiName+`"`)
	response, err := d.ask("claude", false)
	if err != nil {
		t.Fatal(err)
	}
	response.Want(t, 504, "could not connect to "+apiName+" within connect_timeout")
	all := d.findings()
	want(t, all, "upstream dns", "fail", apiName, "getent hosts")
	for _, server := range []string{"127.0.0.2", "127.0.0.4"} {
		want(t, all, "upstream dns", "warn", "the name server "+server+" did not respond", "resolvectl")
	}
}

// A filter of names often says 0.0.0.0, which is this host.
func TestNameThatIsBlocked(t *testing.T) {
	t.Parallel()
	h := newHost(t, "", "nameserver 127.0.0.3\n")
	h.serveNames("127.0.0.3:53", [4]byte{}, nil)
	d := startDaemon(h, newAPI(t).pem, `  upstream_url = "https://`+apiName+`"`)
	want(t, d.findings(), "upstream dns", "fail", apiName+" is 0.0.0.0: a DNS filter blocks it", "/etc/hosts")
}

// Addresses of a family whose packets are lost delay a connection by a quarter of a second.
func TestADeadFamily(t *testing.T) {
	t.Parallel()
	n, a := newNetwork(t, "", "nameserver 127.0.0.3\n"), newAPI(t)
	dead := [16]byte(net.ParseIP(deadAddress6))
	n.near.serveNames("127.0.0.3:53", [4]byte(net.ParseIP(farAddress).To4()), &dead)
	a.serveTLS(n.far, farAddress+":443", labapi.Handler(labapi.Config{}), "h2")
	d := startDaemon(n.near, a.pem, `  upstream_url = "https://`+apiName+`"`)
	d.mustAsk()
	want(t, d.findings(), "upstream tcp", "ok", "connected to "+farAddress+":443")
}
