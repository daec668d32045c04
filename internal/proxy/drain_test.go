package proxy_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/proxy"
)

// process is a proxy and its server on a copy of a socket, as a process that systemd started has
// it.
type process struct {
	*proxy.Proxy
	server *inbound.Server
}

func startProcess(t *testing.T, l net.Listener, up *mockAPI) *process {
	t.Helper()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	own, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	s := settingsFor(up)
	log := slog.New(slog.DiscardHandler)
	p, err := proxy.New(proxy.Config{Host: "host", Log: log, Registerer: prometheus.NewRegistry()}, s)
	if err != nil {
		t.Fatal(err)
	}
	r := &process{Proxy: p, server: inbound.NewServer(p, log)}
	r.server.Resize(s.Proxy.MaxConnections+s.Proxy.QueueLimit, 1)
	r.server.Open("proxy", own, func(err error) { t.Errorf("listener failed: %v", err) })
	return r
}

// stop drains, and cuts what is left after grace.
func (p *process) stop(t *testing.T, grace time.Duration) {
	t.Helper()
	p.server.CloseListeners()
	ctx, cancel := context.WithTimeout(t.Context(), grace)
	defer cancel()
	_ = p.server.Drain(ctx, inbound.SettleTime) // what it leaves is cut next
	ctx, cancel = context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.server.Cut(ctx)
	p.Close()
}

// Restarts under load lose no request, of clients that keep connections and of such that do not.
func TestDrainLosesNoRequest(t *testing.T) {
	up := newUpstream(t, "http1", sayOK)
	l := listenTCP(t)
	defer l.Close()
	current := startProcess(t, l, up)
	load := startLoad(t, "http://"+l.Addr().String())
	var stops sync.WaitGroup
	for range 4 {
		load.wait(t, 300)
		old := current
		current = startProcess(t, l, up)
		stops.Go(func() { old.stop(t, patience) })
		stops.Wait()
	}
	load.wait(t, 300)
	load.end()
	current.stop(t, patience)
	if load.failed.Load() > 0 {
		t.Errorf("%d of %d requests lost", load.failed.Load(), load.sent.Load())
	}
}

// load sends requests until its end.
type load struct {
	sent, failed atomic.Int64
	stop         context.CancelFunc
	work         sync.WaitGroup
}

func startLoad(t *testing.T, target string) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop}
	for i := range 8 {
		c := newClient(t)
		tr := c.Transport.(*http.Transport)
		tr.DisableKeepAlives = i%2 == 0
		l.work.Go(func() {
			for ctx.Err() == nil {
				l.one(t, c, target)
			}
			tr.CloseIdleConnections()
		})
	}
	return l
}

func (l *load) one(t *testing.T, c *http.Client, target string) {
	r := request(t, http.MethodPost, target, io.NopCloser(strings.NewReader("hello"))) // not to be repeated by the client
	response, err := c.Do(r)
	l.sent.Add(1)
	if err != nil {
		l.failed.Add(1)
		t.Logf("lost: %v", err)
		return
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != http.StatusOK || string(body) != "ok" {
		l.failed.Add(1)
		t.Logf("lost: status %d, body %s, %v", response.StatusCode, body, err)
	}
}

func (l *load) wait(t *testing.T, more int64) {
	t.Helper()
	until := l.sent.Load() + more
	eventually(t, "more requests were sent", func() bool { return l.sent.Load() >= until })
}

func (l *load) end() {
	l.stop()
	l.work.Wait()
}

// Requests that outlast the drain get an error and are cut, in every phase.
func TestCutEndsStreamsAndWaiters(t *testing.T) {
	streaming := make(chan struct{}, 10)
	up := newUpstream(t, "http2", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/stream" {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: a\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		streaming <- struct{}{}
		<-r.Context().Done()
	})
	l := listenTCP(t)
	defer l.Close()
	p := startProcess(t, l, up)
	c := newClient(t)
	base := "http://" + l.Addr().String()
	stream, err := c.Do(request(t, http.MethodPost, base+"/stream", strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	receive(t, streaming, "the stream")
	waiting := make(chan string, 1)
	go func() {
		response, err := c.Do(request(t, http.MethodPost, base+"/wait", strings.NewReader("x")))
		if err != nil {
			waiting <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		waiting <- response.Status + " " + response.Header.Get("Retry-After") + " " + code(string(body))
	}()
	receive(t, streaming, "the second request")
	p.stop(t, 100*time.Millisecond)
	if got := receive(t, waiting, "the response"); got != "503 Service Unavailable 5 draining" {
		t.Errorf("who waited got %q", got)
	}
	body, err := io.ReadAll(stream.Body)
	if rest := strings.TrimPrefix(string(body), "data: a\n\n"); err == nil || !strings.HasPrefix(rest, eventError) || code(rest) != "draining" {
		t.Errorf("the stream ended with %q, %v", body, err)
	}
}

// So does a request whose response came before its body was read to the end.
func TestCutEndsEarlyResponse(t *testing.T) {
	early := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		takeLong(r)
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for _, fields := range []string{"", "Expect: 100-continue\r\n"} {
		d := openDoor(t, newUpstream(t, "http2", early))
		c := pausedUpload(t, d, fields)
		response, err := http.ReadResponse(c.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		d.server.Cut(ctx)
		cancel()
		if body, _ := io.ReadAll(response.Body); code(strings.TrimPrefix(string(body), eventError)) != "draining" {
			t.Errorf("%q: the stream ended with %q", fields, body)
		}
	}
}
