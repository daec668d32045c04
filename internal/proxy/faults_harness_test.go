package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frameConn is a connection of a scripted upstream that speaks HTTP/2.
type frameConn struct {
	net.Conn
	*http2.Framer
	header  bytes.Buffer
	encoder *hpack.Encoder
}

// framedUpstream hands each connection to script, after the exchange of SETTINGS, and closes it
// after that.
func framedUpstream(t testing.TB, script func(*frameConn), settings ...http2.Setting) *mockAPI {
	config, roots := tlsConfig()
	config.NextProtos = []string{"h2"}
	return listenScript(t, config, roots, func(c net.Conn) {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c, preface); err != nil {
			return
		}
		f := newFrameConn(c)
		if f.WriteSettings(settings...) == nil {
			script(f)
		}
	})
}

func newFrameConn(c net.Conn) *frameConn {
	f := &frameConn{Conn: c, Framer: http2.NewFramer(c, c)}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.encoder = hpack.NewEncoder(&f.header)
	return f
}

// tlsConfig is a server's for 127.0.0.1, with the certificate that proves it.
func tlsConfig() (config *tls.Config, roots []byte) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	roots = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &tls.Config{Certificates: server.TLS.Certificates}, roots
}

// listenScript is an upstream that hands its connections to script; with TLS if there is a config.
func listenScript(t testing.TB, config *tls.Config, roots []byte, script func(net.Conn)) *mockAPI {
	l := listenTCP(t)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				defer context.AfterFunc(t.Context(), func() { c.Close() })()
				if config != nil {
					c = tls.Server(c, config)
				}
				script(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); work.Wait() })
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	return &mockAPI{url: &url.URL{Scheme: scheme, Host: l.Addr().String()}, roots: roots}
}

// next gives the next frame that matters, or nil at the end of the connection.
func (c *frameConn) next() http2.Frame {
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return nil
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = c.WritePing(true, f.Data)
			}
		case *http2.WindowUpdateFrame:
		default:
			return f
		}
	}
}

// request skips to the next HEADERS and gives its stream; 0 at the end.
func (c *frameConn) request() uint32 {
	for {
		switch f := c.next().(type) {
		case nil:
			return 0
		case *http2.MetaHeadersFrame:
			return f.StreamID
		}
	}
}

// wholeRequest skips to the next HEADERS, and on to the end of that request, and gives its stream;
// 0 at the end of the connection.
func (c *frameConn) wholeRequest() uint32 {
	var stream uint32
	for {
		switch f := c.next().(type) {
		case nil:
			return 0
		case *http2.MetaHeadersFrame:
			if stream = f.StreamID; f.StreamEnded() {
				return stream
			}
		case *http2.DataFrame:
			if f.StreamID == stream && f.StreamEnded() {
				return stream
			}
		}
	}
}

// untilEnd reads until the connection ends.
func (c *frameConn) untilEnd() {
	for c.next() != nil {
	}
}

// response sends HEADERS with a status and more fields in pairs.
func (c *frameConn) response(stream uint32, end bool, status string, fields ...string) {
	c.header.Reset()
	_ = c.encoder.WriteField(hpack.HeaderField{Name: ":status", Value: status})
	for i := 0; i+1 < len(fields); i += 2 {
		_ = c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = c.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: c.header.Bytes(), EndHeaders: true, EndStream: end,
	})
}

// ok sends a whole response.
func (c *frameConn) ok(stream uint32, body string) {
	c.response(stream, false, "200")
	_ = c.WriteData(stream, true, []byte(body))
}

// readRequest reads one request of HTTP/1.1 and its body; nil when there is none.
func readRequest(in *bufio.Reader) (*http.Request, []byte) {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil, nil
	}
	body, _ := io.ReadAll(r.Body)
	return r, body
}

// metric is the value of one series, written as in the exposition format; 0 if it does not exist.
func metric(t testing.TB, reg *prometheus.Registry, series string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+`="`+l.GetValue()+`"`)
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			if name == series {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// counts waits until a series has a value: a request is counted when its client has had the last
// byte of the response already.
func counts(t testing.TB, d *door, series string, value float64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s is %v", series, value), func() bool { return metric(t, d.reg, series) == value })
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited too long until %s", what)
		}
	}
}

// post is a POST with a body of its own length, or with GetBody and all that lets a client send it
// twice removed.
func post(t testing.TB, d *door, body string) *http.Request {
	t.Helper()
	r := request(t, http.MethodPost, d.url("/v1/messages"), strings.NewReader(body))
	r.GetBody = nil
	return r
}

// code is the code in one of our error bodies, or "" in another.
func code(body string) string {
	_, rest, _ := strings.Cut(body, `"error_code":"`)
	c, _, _ := strings.Cut(rest, `"`)
	return c
}
