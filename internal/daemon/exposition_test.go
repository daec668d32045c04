package daemon

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// manyMetrics returns metrics whose text has some megabytes.
func manyMetrics(t *testing.T) *prometheus.Registry {
	t.Helper()
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "many_total", Help: "Many."}, []string{"label"})
	for i := range 2000 {
		vec.WithLabelValues(strings.Repeat("x", 1000) + string(rune('a'+i%26)) + strings.Repeat("y", i)).Inc()
	}
	r := prometheus.NewRegistry()
	r.MustRegister(vec)
	return r
}

// serveExposition starts a server with small socket buffers, which hold little of an unread
// response.
func serveExposition(t *testing.T, e *exposition) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := e.serve(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}))
	server.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			_ = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// slowReader requests the metrics and reads only the status.
func slowReader(t *testing.T, server *httptest.Server) (c net.Conn, status string) {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
	status, err = bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return c, strings.Fields(status)[1]
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what a pool held through the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Clients that do not read the metrics hold only a few rendered texts, however many clients there
// are.
func TestSlowReadersOfMetricsHoldLittle(t *testing.T) {
	server := serveExposition(t, newExposition(manyMetrics(t), slog.New(slog.DiscardHandler)))
	whole := func() int64 {
		response, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		n, err := io.Copy(io.Discard, response.Body)
		if err != nil || n != response.ContentLength {
			t.Fatalf("%d bytes of %d, %v", n, response.ContentLength, err)
		}
		return n
	}
	size := whole()
	before := heap()
	var readers []net.Conn
	got := map[string]int{}
	for range 40 {
		c, status := slowReader(t, server)
		readers = append(readers, c)
		got[status]++
	}
	if got["200"] != maxReaders || got["503"] != 40-maxReaders {
		t.Errorf("responses by status: %v", got)
	}
	// A buffer that grew to a text is at most twice as large.
	if grown := heap() - before; grown > 2*maxReaders*size+4<<20 {
		t.Errorf("they hold %d bytes, the text has %d", grown, size)
	} else {
		t.Logf("they hold %d bytes, the text has %d", grown, size)
	}
	for _, c := range readers {
		_ = c.Close()
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, status := slowReader(t, server); status != "200"; _, status = slowReader(t, server) {
		if time.Now().After(deadline) {
			t.Fatal("nobody is served after they left")
		}
	}
}

// stopped is a collector that waits until proceed is closed.
type stopped struct {
	prometheus.Gauge
	mu      sync.Mutex
	at      int
	proceed chan struct{}
}

func (s *stopped) Collect(metrics chan<- prometheus.Metric) {
	s.mu.Lock()
	s.at++
	s.mu.Unlock()
	<-s.proceed
	s.Gauge.Collect(metrics)
}

// Two renderings run at once, and other clients wait.
func TestMetricsAreRenderedForTwoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := prometheus.NewRegistry()
		s := &stopped{Gauge: prometheus.NewGauge(prometheus.GaugeOpts{Name: "g", Help: "A gauge."}), proceed: make(chan struct{})}
		r.MustRegister(s)
		e := newExposition(r, slog.New(slog.DiscardHandler))
		var work sync.WaitGroup
		for range 5 {
			work.Go(func() {
				w := httptest.NewRecorder()
				if err := e.serve(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)); err != nil || !strings.Contains(w.Body.String(), "\ng 0\n") {
					t.Errorf("%v, %s", err, w.Body)
				}
			})
		}
		synctest.Wait()
		if s.at != 2 {
			t.Errorf("%d at once", s.at)
		}
		close(s.proceed)
		work.Wait()
		if s.at != 5 {
			t.Errorf("%d in all", s.at)
		}
	})
}
