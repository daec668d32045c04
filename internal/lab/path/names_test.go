package path_test

import (
	"errors"
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
	h.serve(address, func(question []byte) ([]byte, error) { return resolve(question, v4, v6) })
}

// serve is a name server that responds to a question with what respond returns.
func (h *host) serve(address string, respond func(question []byte) ([]byte, error)) {
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
			if response, err := respond(buffer[:n]); err == nil {
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

// A name server that is silent costs the first request a second or so, and does not fail it.
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
	want(t, d.findings(), "upstream http", "ok", "401")
}

// Where all name servers are silent, the request fails after seconds, and doctor names one of them.
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
	response.Want(t, 504, "could not connect to "+apiName+" in time")
	all := d.findings()
	want(t, all, "upstream dns", "fail", "the name server 127.0.0.", "sent no valid response in time", "dig +tries=1 +time=1 @127.0.0.", apiName)
}

// A filter of names often says 0.0.0.0 or 127.0.0.1, which is this host.
func TestNameThatIsBlocked(t *testing.T) {
	t.Parallel()
	for text, address := range map[string][4]byte{"0.0.0.0": {}, "127.0.0.1": {127, 0, 0, 1}} {
		h := newHost(t, "", "nameserver 127.0.0.3\n")
		h.serveNames("127.0.0.3:53", address, nil)
		d := startDaemon(h, newAPI(t).pem, `  upstream_url = "https://`+apiName+`"`)
		want(t, d.findings(), "upstream dns", "fail", apiName+" is "+text+", which is this host: a DNS filter or /etc/hosts blocks it")
	}
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

// A host without IPv6 cannot use a name that has only an IPv6 address, and no firewall is to blame.
func TestOnlyIPv6(t *testing.T) {
	t.Parallel()
	h := newHost(t, deadAddress6+" "+apiName+"\n", "")
	d := startDaemon(h, newAPI(t).pem, `  upstream_url = "https://`+apiName+`"`)
	want(t, d.findings(), "upstream tcp", "fail", "unreachable", "ip route get ADDRESS", "is there a route to "+apiName+", for IPv6 too?")
}

// serveTruncated responds to every question with what does not fit into a packet.
func (h *host) serveTruncated(address string) {
	h.t.Helper()
	h.serve(address, func(question []byte) ([]byte, error) {
		var m dnsmessage.Message
		err := m.Unpack(question)
		m.Response, m.Truncated, m.Additionals = true, true, nil
		response, packErr := m.Pack()
		return response, errors.Join(err, packErr)
	})
}

// A long response of a name server needs TCP, which a firewall may refuse.
func TestNoNamesOverTCP(t *testing.T) {
	t.Parallel()
	h := newHost(t, "", "nameserver 127.0.0.3\n")
	h.serveTruncated("127.0.0.3:53")
	d := startDaemon(h, newAPI(t).pem, `  upstream_url = "https://`+apiName+`"`)
	want(t, d.findings(), "upstream dns", "fail", "dial tcp 127.0.0.3:53: connect: connection refused", "getent hosts "+apiName)
}
