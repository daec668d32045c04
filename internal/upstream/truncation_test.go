package upstream_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A response that only the end of the connection delimits is whole where the upstream said that it
// ends there: with a close_notify over TLS (RFC 9112 §9.8), with a FIN without.
func TestEndOfTheConnectionAsEndOfTheResponse(t *testing.T) {
	const half = "event: content_block_delta\ndata: {}\n\n"
	cut := func(c net.Conn) { _ = c.(*tls.Conn).NetConn().Close() }
	reset := func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }
	cases := []struct {
		name, header string
		protocols    []string
		end          func(net.Conn)
		whole        bool
	}{
		{"TLS, close_notify", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", []string{"http/1.1"}, func(net.Conn) {}, true},
		{"TLS, FIN", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", []string{"http/1.1"}, cut, false},
		{"TLS, HTTP/1.0, close_notify", "HTTP/1.0 200 OK\r\n\r\n", []string{"http/1.1"}, func(net.Conn) {}, true},
		{"TLS, HTTP/1.0, FIN", "HTTP/1.0 200 OK\r\n\r\n", []string{"http/1.1"}, cut, false},
		{"TLS, length, FIN", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", []string{"http/1.1"}, cut, false},
		{"TLS, length, close_notify", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", []string{"http/1.1"}, func(net.Conn) {}, false},
		{"TLS, chunks, close_notify", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n26\r\n", []string{"http/1.1"}, func(net.Conn) {}, false},
		{"FIN", "HTTP/1.1 200 OK\r\n\r\n", nil, func(net.Conn) {}, true},
		{"HTTP/1.0, FIN", "HTTP/1.0 200 OK\r\n\r\n", nil, func(net.Conn) {}, true},
		{"reset", "HTTP/1.1 200 OK\r\n\r\n", nil, reset, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			read := make(chan struct{})
			o := listenOn(t, func(nc net.Conn) {
				if header(nc) == nil {
					return
				}
				_, _ = io.WriteString(nc, c.header+half)
				<-read // or a reset overtakes what was written
				c.end(nc)
			}, c.protocols...)
			response := begun(t, o.pool(t), get(t))
			if _, err := io.ReadFull(response.Body, make([]byte, len(half))); err != nil {
				t.Fatal(err)
			}
			close(read)
			rest, err := io.ReadAll(response.Body)
			if (err == nil) != c.whole || len(rest) > 0 {
				t.Errorf("the end is %v, after %q", err, rest)
			}
			lacksNotify := strings.HasPrefix(c.name, "TLS") && strings.HasSuffix(c.name, ", FIN")
			if named := err != nil && strings.Contains(err.Error(), "without TLS's close_notify: unexpected EOF"); named != lacksNotify {
				t.Errorf("the end is %v", err)
			}
		})
	}
}

// If a failed write has reported a reset, the next read does not report it: it gets the FIN
// that nobody sent.
func TestResetThatAWriteWasToldOf(t *testing.T) {
	const half = "half of it"
	o := listenOn(t, func(c net.Conn) {
		if header(c) == nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 413 Payload Too Large\r\n\r\n"+half)
		_, _ = io.ReadFull(c, make([]byte, 1)) // the rest stays unread, so the end is a reset
	})
	pool := o.pool(t)
	for i := range 50 {
		body, more := io.Pipe()
		response := begun(t, pool, post(t, body, -1))
		_, _ = io.ReadFull(response.Body, make([]byte, len(half)))
		var work sync.WaitGroup
		work.Go(func() {
			for err := error(nil); err == nil; _, err = more.Write(bytes.Repeat([]byte("x"), 1000)) {
			}
		})
		if _, err := io.ReadAll(response.Body); err == nil {
			t.Errorf("try %d: the response is complete", i)
		}
		response.Body.Close()
		body.Close()
		work.Wait()
	}
}

// A request body that its client compressed, in whatever way, is passed on as it is.
func TestCompressedRequestsPassUntouched(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(w, strings.Repeat("hello ", 50_000))
	_ = w.Close()
	zstd := append([]byte{0x28, 0xb5, 0x2f, 0xfd}, bytes.Repeat([]byte{0, 0xff, '\r', '\n'}, 50_000)...)
	for encoding, sent := range map[string][]byte{"gzip": zipped.Bytes(), "zstd": zstd} {
		for _, protocol := range []string{"http/1.1", "h2"} {
			t.Run(fmt.Sprint(encoding, " ", protocol), func(t *testing.T) {
				came := make(chan *http.Request, 1)
				bodies := make(chan []byte, 1)
				o := serveHTTP(t, protocol, func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					came <- r
					bodies <- body
					w.Header().Set("Content-Encoding", encoding)
					_, _ = w.Write(sent)
				})
				r := post(t, bytes.NewReader(sent), int64(len(sent)))
				r.Header.Set("Content-Encoding", encoding)
				response, body, err := attempt(o.pool(t), r)
				if err != nil || body != string(sent) || response.Header.Get("Content-Encoding") != encoding || response.Uncompressed {
					t.Errorf("the response: %v", err)
				}
				got := receive(t, came, "the request")
				if got.Header.Get("Content-Encoding") != encoding || got.Header.Get("Accept-Encoding") != "" || !bytes.Equal(<-bodies, sent) {
					t.Errorf("the request came with %v", got.Header)
				}
			})
		}
	}
}

// A server sees our close_notify when its response is cancelled, and may end the response then as
// if it were complete.
func TestEndAfterOurCloseIsNotAnEnd(t *testing.T) {
	o := listenOn(t, func(nc net.Conn) {
		if header(nc) == nil {
			return
		}
		_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
		_, _ = io.Copy(io.Discard, nc) // until the close_notify
		_, _ = io.WriteString(nc, "0\r\n\r\n")
	}, "http/1.1")
	p, gaveUp := o.pool(t), errors.New("gave up")
	for range 200 {
		ctx, cancel := context.WithCancelCause(t.Context())
		response := begun(t, p, get(t).WithContext(ctx))
		if _, err := io.ReadFull(response.Body, make([]byte, len("half"))); err != nil {
			t.Fatal(err)
		}
		go cancel(gaveUp)
		if rest, err := io.ReadAll(response.Body); err == nil || len(rest) > 0 {
			t.Fatalf("the end is %v, after %q", err, rest)
		}
	}
}
