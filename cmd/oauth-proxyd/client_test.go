package main_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

// newClient follows no redirect and shares no connection with another test.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: daemontest.Patience, CheckRedirect: stay}
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func get(t *testing.T, url string, header ...string) daemontest.Response {
	t.Helper()
	a, err := daemontest.Ask(newClient(t), http.MethodGet, url, "", header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// anotherUser is a user as whom no tailscaled of these tests runs. (The kernel also uses "nobody"
// for users without a number.)
const anotherUser = 1

// getAs is get by a program of another user, which cannot be tailscaled. It needs root.
func getAs(t *testing.T, uid int, url string) daemontest.Response {
	t.Helper()
	if os.Getuid() != 0 {
		t.Log("!!! not root: a client of another user is NOT TESTED")
		return get(t, url)
	}
	a, err := daemontest.Ask(clientAs(uid), http.MethodGet, url, "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// result is the outcome of a request in the background.
type result struct {
	daemontest.Response
	err error
}

// background sends a request and returns a function that waits for the response.
func background(t *testing.T, c *http.Client, method, url, body string, header ...string) func() result {
	t.Helper()
	done := make(chan result, 1)
	go func() {
		a, err := daemontest.Ask(c, method, url, body, header...)
		done <- result{a, err}
	}()
	return func() result {
		t.Helper()
		select {
		case r := <-done:
			return r
		case <-time.After(daemontest.Patience):
			t.Fatalf("%s %s: no response", method, url)
			return result{}
		}
	}
}

// newLoad returns a load of requests for /echo.
func newLoad(t *testing.T, addr string) *daemontest.Load {
	t.Helper()
	const body = 1000
	return daemontest.NewLoad(t, daemontest.Target{Address: addr, Dial: new(net.Dialer).DialContext},
		daemontest.Request{Method: http.MethodGet, Path: "/echo", Ends: `body=""`},
		daemontest.Request{Method: http.MethodPost, Path: "/echo", Body: strings.Repeat("x", body), Ends: `body="` + strings.Repeat("x", body) + `"`})
}

// dial opens one connection to the first socket.
func (s *service) dial(t *testing.T) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", s.unit.sockets[0].Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(daemontest.Patience)); err != nil {
		t.Fatal(err)
	}
	return &rawClient{reader: bufio.NewReader(conn), conn: conn}
}

// clientAs returns a client with sockets of another user of this host. It needs root.
func clientAs(uid int) *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := syscall.Setfsuid(uid); err != nil { // of this thread; its sockets get it
			return nil, err
		}
		defer syscall.Setfsuid(os.Getuid()) //nolint:errcheck // of a thread that was root
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}
