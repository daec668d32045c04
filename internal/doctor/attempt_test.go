package doctor_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"oauth-proxyd/internal/doctor"
)

// connectProxy is an HTTP CONNECT proxy that always responds with this status, and opens a tunnel
// if it is 200.
func connectProxy(t *testing.T, status int) string {
	t.Helper()
	var tunnels sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		if status != http.StatusOK {
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		tunnels.Add(1) // the server's Close waits for this handler until Hijack only
		defer tunnels.Done()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		tunnels.Go(func() { relay(there, here) })
		tunnels.Go(func() { relay(here, there) })
	}))
	t.Cleanup(func() { server.Close(); tunnels.Wait() })
	return server.URL
}

func relay(to, from net.Conn) {
	_, _ = io.Copy(to, from) // either end may leave
	to.Close()
}

// deadAddress is an address on which nothing listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// through makes the configuration name a proxy.
func (w *world) through(proxy string) {
	w.replace("upstream_url = ", fmt.Sprintf("upstream_proxy = %q\n  upstream_url = ", proxy))
}

// TestUnusableProxy: a proxy that cannot be used is named with the reason.
func TestUnusableProxy(t *testing.T) {
	dead := deadAddress(t)
	for _, row := range []struct {
		name, proxy, check string
		words              []string
	}{
		{"nothing listens there", "http://" + dead, "upstream proxy", []string{dead, "refused", "is the proxy running there", "curl -v --proxy http://" + dead}},
		{"it forbids CONNECT", connectProxy(t, http.StatusForbidden), "upstream proxy", []string{"status 403", "allow this host CONNECT to 127.0.0.1:"}},
		{"it wants a password", connectProxy(t, http.StatusProxyAuthRequired), "upstream proxy", []string{"status 407", "by its address"}},
		{"it reaches nothing", connectProxy(t, http.StatusServiceUnavailable), "upstream proxy", []string{"status 503", "CONNECT to 127.0.0.1:", "its log says why"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.through(row.proxy)
			if f, found := firstFault(w.examine()); !found || f.Status != doctor.Fail || f.Check != row.check || lacks(f, row.words) {
				t.Errorf("first: %+v\nwant %q with %q", f, row.check, row.words)
			}
		})
	}
}

// TestListOfProxies: the first proxy that works is used, and those before it are reported as well.
func TestListOfProxies(t *testing.T) {
	w := newWorld(t)
	dead, good, spare := deadAddress(t), connectProxy(t, http.StatusOK), connectProxy(t, http.StatusOK)
	w.replace("upstream_url = ", fmt.Sprintf("upstream_proxy = [%q, %q, %q]\n  upstream_url = ", "http://"+dead, good, spare))
	r := w.examine()
	var judged []doctor.Finding
	for _, f := range r.Findings {
		if f.Check == "upstream proxy" {
			judged = append(judged, f)
		}
	}
	host := strings.TrimPrefix(good, "http://")
	if len(judged) != 2 || judged[0].Status != doctor.Warn || lacks(judged[0], []string{dead + " does not lead to 127.0.0.1:", host + " is used", "curl -v --proxy http://" + dead}) ||
		judged[1].Status != doctor.OK || lacks(judged[1], []string{host + " opened a tunnel"}) {
		t.Errorf("%+v", judged)
	}
	if !r.OK {
		t.Error("it fails")
	}
}
