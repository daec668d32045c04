package upstream_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"oauth-proxyd/internal/upstream"
)

// bubble is a pool whose upstream is in memory: minutes take no time there.
type bubble struct {
	*upstream.Pool
	dials atomic.Int64
	work  sync.WaitGroup
}

// inBubble runs test with a pool each of whose connections is served by script, which is given the
// number of the connection, from 1 on.
func inBubble(t *testing.T, script func(number int64, f *framed), test func(*testing.T, *bubble)) {
	t.Helper()
	server, roots := certified(t)
	server.NextProtos = []string{"h2"}
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{}
		var err error
		b.Pool, err = upstream.New(upstream.Config{
			UpstreamURL: &url.URL{Scheme: "https", Host: "upstream.test"}, UpstreamCAs: roots, ConnectTimeout: 15 * time.Second,
			Dial: func(context.Context, string) (net.Conn, error) { return b.dial(server, script), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		test(t, b)
		b.Close()
		b.work.Wait()
	})
}

func (b *bubble) dial(config *tls.Config, script func(int64, *framed)) net.Conn {
	number := b.dials.Add(1)
	client, end := net.Pipe()
	server := tls.Server(newSender(end), config)
	b.work.Go(func() {
		defer server.Close()
		if f := newFramed(server); f != nil {
			script(number, f)
		}
	})
	return client
}

// settles sends SETTINGS and responds to all requests.
func settles(f *framed, settings ...http2.Setting) {
	_ = f.WriteSettings(settings...)
	f.respondsToAll()
}

// mute reads all that comes, and says nothing more.
func (f *framed) mute() {
	for p := make([]byte, 1<<10); ; {
		if _, err := f.Conn.Read(p); err != nil {
			return
		}
	}
}
