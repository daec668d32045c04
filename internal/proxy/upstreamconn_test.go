package proxy

import (
	"context"
	"errors"
	"net"
	"net/url"
	"testing"
	"time"
)

// net/http tells only in words that a request was not processed.
func TestRefusedStreamsByTheirWords(t *testing.T) {
	for text, want := range map[string]bool{
		"http2: Transport received Server's graceful shutdown GOAWAY":                     true,
		"http2: Transport received GOAWAY from server ErrCode:ENHANCE_YOUR_CALM":          true,
		"http2: client conn not usable":                                                   true,
		"http2: client conn could not be established":                                     true,
		"http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO": false,
		"http2: client connection lost":                                                   false,
		"unexpected EOF":                                                                  false,
	} {
		if got := refusedStream(errors.New(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// A connection that comes when its request has ended is left unused.
func TestConnectionForARequestThatLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := newDialer(Upstream{URL: &url.URL{Scheme: "http", Host: l.Addr().String()}, ConnectTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(d)
	defer p.close()
	ctx, leave := context.WithCancel(t.Context())
	c, err := p.get(ctx, func() {})
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if _, err := p.receive(ctx, connResult{conn: c}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if c.cc.Available() != 1 {
		t.Error("its place is not free")
	}
}

// An answer must come after its request, over HTTP/1.1.
func TestMarkHearsWhatWasNotAsked(t *testing.T) {
	for _, c := range []struct {
		name                 string
		http2, written, read bool
		want                 bool
	}{
		{"before the request", false, false, true, true},
		{"read before", false, true, false, true},
		{"after", false, true, true, false},
		{"HTTP/2", true, false, false, false},
	} {
		conn := &upstreamConn{raw: &countedConn{out: newGather(nil, nil)}, http2: c.http2}
		m := conn.mark()
		if c.written {
			conn.raw.out.written.Add(1)
		}
		if c.read {
			conn.raw.read.Add(1)
		}
		if m.hear(); m.unasked.Load() != c.want {
			t.Errorf("%s: unasked is %v", c.name, !c.want)
		}
	}
}
