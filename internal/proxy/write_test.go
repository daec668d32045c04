package proxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// countingListener counts the writes on the connections that it accepts.
type countingListener struct {
	net.Listener
	writes *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, l.writes}, err
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// The header of a response goes out with the first piece of its body. On a machine that is busy the
// piece may come too late for that, so one of many must do.
func TestHeaderGoesOutWithTheFirstPiece(t *testing.T) {
	forEachProtocol(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("piece")) },
		func(t *testing.T, up *mockAPI) {
			var writes atomic.Int64
			d := openDoor(t, up, func(s *setup) {
				s.listen = func(t testing.TB) net.Listener { return countingListener{listenTCP(t), &writes} }
			})
			client := newClient(t)
			const most = 1000
			for range most {
				writes.Store(0)
				response, err := client.Do(request(t, "GET", d.url("/"), nil))
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(response.Body)
				response.Body.Close()
				if string(body) != "piece" {
					t.Fatalf("got %q", body)
				}
				if writes.Load() == 1 {
					return
				}
			}
			t.Errorf("none of %d responses came in one write", most)
		})
}

// A header whose first piece is not there goes out without it.
func TestHeaderDoesNotWaitForAPiece(t *testing.T) {
	arrived := make(chan struct{})
	forEachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-arrived:
		case <-r.Context().Done():
		}
	}, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		response, err := newClient(t).Do(request(t, "GET", d.url("/"), nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		arrived <- struct{}{}
		response.Body.Close()
	})
}

// So do the header of a request and a short body, which net/http writes one by one.
func TestRequestGoesOutInOneWrite(t *testing.T) {
	forEachProtocol(t, echo, func(t *testing.T, up *mockAPI) {
		var writes atomic.Int64
		d := openDoor(t, up, func(s *setup) {
			s.Upstream.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
				return countingConn{c, &writes}, err
			}
		})
		c := d.dial(t)
		const most = 1000
		for range most {
			writes.Store(0)
			c.send(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
			if _, body := c.response(t, http.MethodPost); body != "hello" {
				t.Fatalf("got %q", body)
			}
			if writes.Load() == 1 {
				return
			}
		}
		t.Errorf("none of %d requests went out in one write", most)
	})
}

// An empty response without a Content-Length gets none.
func TestEmptyResponseGetsNoLength(t *testing.T) {
	forEachDoor(t, func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		func(t *testing.T, d *door, c *http.Client) {
			response, err := c.Do(request(t, "GET", d.url("/"), nil))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if length, told := response.Header["Content-Length"]; told {
				t.Errorf("Content-Length is %q", length)
			}
			if body, err := io.ReadAll(response.Body); err != nil || len(body) > 0 {
				t.Errorf("read %q, %v", body, err)
			}
		})
}
