package path_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/labapi"
)

const (
	// givenUp is how long a dead path may hold what is on it, and a few seconds for a machine that
	// is busy.
	givenUp = 30*time.Second + 5*time.Second
	// silence is how long a connection may be silent and get a request all the same.
	silence = 2 * time.Second
)

// ledger counts the requests that reach the API, by the address they come from.
type ledger struct {
	mu   sync.Mutex
	from map[string]int
}

// wrap counts in front of next.
func (l *ledger) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address, _, _ := strings.Cut(r.RemoteAddr, ":")
		l.mu.Lock()
		l.from[address]++
		l.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (l *ledger) count(address string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from[address]
}

// startCuttable runs the daemon in front of an API that a router leads to.
func startCuttable(t *testing.T, protocol string) (*network, *daemon, *ledger) {
	t.Helper()
	n, a, l := newNetwork(t, farAddress+" "+apiName, ""), newAPI(t), &ledger{from: map[string]int{}}
	a.serveTLS(n.far, farAddress+":443", l.wrap(labapi.Handler(labapi.Config{})), protocol)
	return n, startDaemon(n.near, a.pem, `
		upstream_url    = "https://`+apiName+`"
		connect_timeout = "20s"
		idle_timeout    = "3m"`), l
}

// hang sends streams that the API begins and does not end, and returns how long each took once all
// are over.
func (d *daemon) hang(l *ledger, n int) (wait func() []time.Duration) {
	var clients sync.WaitGroup
	took := make([]time.Duration, n)
	before := l.count(nearAddress)
	for i := range n {
		clients.Go(func() {
			began := time.Now()
			if response, err := d.ask("stall", true); err == nil && strings.Contains(response.Body, "message_stop") {
				d.host.t.Errorf("a stream that never ends came whole: %s", response.Body)
			}
			took[i] = time.Since(began)
		})
	}
	daemontest.Eventually(d.host.t, "the streams are in flight", func() bool { return l.count(nearAddress) == before+n })
	return func() []time.Duration { clients.Wait(); return took }
}

// Requests on a path that went silent end within 30 seconds; the next request takes another one at
// once, and is sent once.
func TestACutUnderRequests(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"h2", "http/1.1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			n, d, l := startCuttable(t, protocol)
			d.mustAsk()
			wait := d.hang(l, 3)
			sent := l.count(nearAddress)
			n.cut()
			cut := time.Now()
			daemontest.Eventually(t, "the path is silent", func() bool {
				s := d.status().Slowest
				return s != nil && s.Silence > float64((silence+time.Second).Milliseconds())
			})
			n.takeOtherRoute()
			began := time.Now()
			d.mustAsk()
			t.Logf("%v after the cut a request took %v", began.Sub(cut), time.Since(began))
			if here, there := l.count(nearAddress)-sent, l.count(otherAddress); here != 0 || there != 1 {
				t.Errorf("%d requests were sent on the path that is cut, %d on the other", here, there)
			}
			wait()
			t.Logf("what was in flight ended %v after the cut", time.Since(cut))
			if time.Since(cut) > givenUp {
				t.Errorf("what was in flight ended only %v after the cut", time.Since(cut))
			}
		})
	}
}

// Idle connections that died with the path are gone within 30 seconds. Once it is back, a request
// gets a new one.
func TestACutUnderIdleConnections(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"h2", "http/1.1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			n, d, _ := startCuttable(t, protocol)
			d.mustAsk()
			n.cut()
			cut := time.Now()
			daemontest.Eventually(t, "the connections are given up", func() bool { return d.status().Upstream.Connections == 0 })
			t.Logf("given up after %v", time.Since(cut))
			if time.Since(cut) > givenUp {
				t.Errorf("given up only %v after the cut", time.Since(cut))
			}
			n.restore()
			d.mustAsk()
		})
	}
}

// A connection of HTTP/2 whose other end forgot it during a cut gets no request.
func TestAConnectionThatDiedUnseen(t *testing.T) {
	t.Parallel()
	n, d, l := startCuttable(t, "h2")
	d.mustAsk()
	n.cut()
	n.far.run("ss --kill state established sport = :443")
	n.restore()
	daemontest.Eventually(t, "the connection is silent", func() bool {
		last := d.status().Requests.LastSuccess
		return !last.IsZero() && time.Since(last) > silence+time.Second
	})
	d.mustAsk()
	if sent := l.count(nearAddress); sent != 2 {
		t.Errorf("%d requests reached the API, want 2", sent)
	}
}
