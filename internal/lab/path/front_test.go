package path_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/labapi"
)

// streamLimit is how many streams of one connection the servers in front of the API take.
const streamLimit = 10

// front is a server that others run in front of an API.
type front struct {
	name   string
	start  func(*host) *daemontest.Process
	reload func(*daemontest.Process)
}

func fronts(t *testing.T) []front {
	return []front{
		{"nginx", startNginx, func(p *daemontest.Process) { p.Signal(t, syscall.SIGHUP) }},
		{"haproxy", startHAProxy, func(p *daemontest.Process) { p.Signal(t, syscall.SIGUSR2) }},
	}
}

func startNginx(h *host) *daemontest.Process {
	file := h.write("nginx.conf", fmt.Sprintf(`
daemon off;
user root;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen 127.0.0.1:443 ssl http2;
		http2_max_concurrent_streams %[2]d;
		ssl_certificate %[1]s/api.pem;
		ssl_certificate_key %[1]s/api.pem;
		location / {
			proxy_pass http://127.0.0.1:8000;
			proxy_http_version 1.1;
			proxy_buffering off;
			proxy_request_buffering off;
		}
	}
}
`, h.dir, streamLimit))
	return h.start("127.0.0.1:443", "nginx", "-c", file, "-e", "stderr")
}

func startHAProxy(h *host) *daemontest.Process {
	file := h.write("haproxy.cfg", fmt.Sprintf(`
global
	nbthread 1
	maxconn 1000
	tune.h2.max-concurrent-streams %d
defaults
	mode http
	timeout connect 5s
	timeout client 1m
	timeout server 1m
	option http-no-delay
frontend api
	bind 127.0.0.1:443 ssl crt %s/api.pem alpn h2
	default_backend fake
backend fake
	server fake 127.0.0.1:8000
`, streamLimit, h.dir))
	return h.start("127.0.0.1:443", "haproxy", "-W", "-f", file)
}

// startFront starts the daemon behind a front with this API.
func startFront(t *testing.T, f front, api http.Handler) (*daemon, *daemontest.Process) {
	t.Helper()
	h, a := newHost(t, "127.0.0.1 "+apiName, ""), newAPI(t)
	h.write("api.pem", a.keyPair(t))
	a.serve(h, "127.0.0.1:8000", api)
	server := f.start(h)
	return startDaemon(h, a.pem, `  upstream_url = "https://`+apiName+`"`), server
}

// A burst of five times as many requests as a connection takes is served at once: the API responds
// to none before it has all.
func TestABurstAboveTheLimitOfAConnection(t *testing.T) {
	t.Parallel()
	for _, f := range fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			const burst = 5 * streamLimit
			d, _ := startFront(t, f, newBarrier(burst).wrap(labapi.Handler(labapi.Config{})))
			var clients sync.WaitGroup
			for range burst {
				clients.Go(func() { wantWhole(t, d, "long-20") })
			}
			clients.Wait()
			if n := d.status().Upstream.Connections; n < burst/streamLimit {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// wantWhole asks for a stream and wants all of it.
func wantWhole(t *testing.T, d *daemon, model string) {
	response, err := d.ask(model, true)
	if err != nil || response.Status != 200 || !strings.Contains(response.Body, "event: message_stop") {
		t.Errorf("%d %v %.500s", response.Status, err, response.Body)
	}
}

// A reload of the server, which says goodbye to its connections, loses nothing.
func TestAReloadOfTheUpstreamLosesNothing(t *testing.T) {
	t.Parallel()
	for _, f := range fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			const streams = 2 * streamLimit
			all := newBarrier(streams)
			d, server := startFront(t, f, all.wrap(labapi.Handler(labapi.Config{})))
			var clients sync.WaitGroup
			for range streams {
				clients.Go(func() { wantWhole(t, d, "slow-10") })
			}
			<-all.open
			load := daemontest.NewLoad(t, daemontest.Target{Address: strings.TrimPrefix(d.url, "http://"), Dial: dialHere},
				daemontest.Request{Method: "POST", Path: "/v1/messages", Body: `{"model":"claude","max_tokens":9,"messages":[]}`, Ends: "}"})
			for range 5 {
				load.More(50)
				f.reload(server)
			}
			load.More(50)
			clients.Wait()
			load.WantNoneLost()
		})
	}
}

func dialHere(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}
