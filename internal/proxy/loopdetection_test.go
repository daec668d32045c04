package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/config"
)

// addBeta changes each request that lacks its header.
func addBeta(s *setup) {
	s.Headers = []config.Header{{
		Name: "Anthropic-Beta", Value: "oauth-2025-04-20", Mode: config.ModeMerge, When: config.When{BearerPrefix: "sk-ant-oat"},
	}}
}

// openAt serves l in front of url.
func openAt(t *testing.T, l net.Listener, target string) *door {
	t.Helper()
	up := &mockAPI{}
	up.url, _ = url.Parse(target)
	return openDoor(t, up, addBeta, func(s *setup) { s.listen = func(testing.TB) net.Listener { return l } })
}

// wantLoop sends a message that must be refused in the first round.
func wantLoop(t *testing.T, d *door, why string, send func() (*http.Response, string)) {
	t.Helper()
	response, body := send()
	ours(t, response, body, 400, "loop_detected", "proxy_loop_detected")
	if !strings.Contains(body, "upstream_url") {
		t.Errorf("the body does not say what to change: %s", body)
	}
	lines := d.log.requests(t, 2)
	if len(lines) != 2 {
		t.Errorf("%d requests came in, want the client's and the first that came back:\n%s", len(lines), strings.Join(lines, ""))
	}
	refused := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, `"outcome":"loop_detected"`) })
	if refused < 0 || !strings.Contains(lines[refused], why) {
		t.Errorf("refused as %q, want because %s", lines, why)
	}
	if got := d.Stats().Trouble(time.Now()); !strings.Contains(got, ": loop_detected: ") || !strings.HasSuffix(got, "; set proxy.upstream_url to the API") {
		t.Errorf("status says %q", got)
	}
}

// kindsOfClient send the same message to base in different ways.
func kindsOfClient(t *testing.T) map[string]func(d *door) func() (*http.Response, string) {
	t.Helper()
	viaGo := func(header ...string) func(d *door) func() (*http.Response, string) {
		return func(d *door) func() (*http.Response, string) {
			return func() (*http.Response, string) {
				tr := &http.Transport{}
				defer tr.CloseIdleConnections()
				r := request(t, "POST", d.url("/v1/messages?beta=true"), strings.NewReader(`{"model":"m"}`))
				for i := 0; i < len(header); i += 2 {
					r.Header.Set(header[i], header[i+1])
				}
				return do(t, &http.Client{Transport: tr}, r)
			}
		}
	}
	viaBytes := func(fields string) func(d *door) func() (*http.Response, string) {
		return func(d *door) func() (*http.Response, string) {
			return func() (*http.Response, string) {
				conn := d.dial(t)
				conn.send(t, "POST /v1/messages?beta=true HTTP/1.1\r\nHost: "+d.addr+"\r\n"+fields+"Content-Length: 13\r\n\r\n{\"model\":\"m\"}")
				return conn.response(t, "POST")
			}
		}
	}
	return map[string]func(d *door) func() (*http.Response, string){
		"Go, OAuth":      viaGo("Authorization", "Bearer sk-ant-oat01-x", "Anthropic-Version", "2023-06-01", "Content-Type", "application/json"),
		"Go, API key":    viaGo("X-Api-Key", "sk-ant-api03-x", "Anthropic-Version", "2023-06-01", "Content-Type", "application/json"),
		"bytes, OAuth":   viaBytes("authorization: Bearer sk-ant-oat01-x\r\nuser-agent: curl/8\r\ncontent-type: application/json\r\n"),
		"bytes, API key": viaBytes("x-api-key: sk-ant-api03-x\r\nuser-agent: curl/8\r\ncontent-type: application/json\r\n"),
	}
}

func TestUpstreamIsThisProxy(t *testing.T) {
	t.Parallel()
	for name, send := range kindsOfClient(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listenTCP(t)
			d := openAt(t, l, "http://"+l.Addr().String())
			wantLoop(t, d, "our own connection", send(d))
		})
	}
}

func TestUpstreamIsThisProxyByIPv6(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	d := openAt(t, l, "http://"+l.Addr().String())
	wantLoop(t, d, "our own connection", func() (*http.Response, string) {
		return do(t, newClient(t), request(t, "GET", d.url("/v1/models"), nil))
	})
}

// Two daemons on one host, each with the other as its upstream. What a header rule changes is
// recognized.
func TestLoopThroughOurOtherProxy(t *testing.T) {
	t.Parallel()
	for name, send := range kindsOfClient(t) {
		if !strings.HasSuffix(name, "OAuth") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := listenTCP(t), listenTCP(t)
			openAt(t, second, "http://"+first.Addr().String())
			d := openAt(t, first, "http://"+second.Addr().String())
			wantLoop(t, d, "another program sent it", send(d))
		})
	}
}

// A gateway on this host that adds X-Forwarded-For.
func TestLoopThroughAGateway(t *testing.T) {
	t.Parallel()
	gateways := map[string]func(*httputil.ProxyRequest, *url.URL){
		"forwarded": func(r *httputil.ProxyRequest, to *url.URL) { r.SetURL(to); r.SetXForwarded() },
		"traced": func(r *httputil.ProxyRequest, to *url.URL) {
			r.SetURL(to)
			r.SetXForwarded()
			r.Out.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
			r.Out.Header.Set("X-Request-Id", "of the gateway")
		},
	}
	for kind, send := range kindsOfClient(t) {
		for name, rewrite := range gateways {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				l := listenTCP(t)
				to := &url.URL{Scheme: "http", Host: l.Addr().String()}
				gateway := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { rewrite(r, to) }})
				t.Cleanup(gateway.Close)
				d := openDoor(t, upstreamAt(gateway.URL), addBeta, func(s *setup) {
					s.listen = func(testing.TB) net.Listener { return l }
					s.Access.Allow = append(s.Access.Allow, config.Source{Kind: config.Proxied})
				})
				wantLoop(t, d, "", send(d))
			})
		}
	}
}

func upstreamAt(target string) *mockAPI {
	up := &mockAPI{}
	up.url, _ = url.Parse(target)
	return up
}

// crowd counts requests that wait for each other at the upstream.
type crowd struct{ missing sync.WaitGroup }

func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	c.missing.Done()
	c.missing.Wait()
	_, _ = io.WriteString(w, "done")
}

// Equal requests that are all in flight at the same time: no response comes before the last of them
// has reached the upstream.
func TestDuplicatesAreNoLoop(t *testing.T) {
	t.Parallel()
	const each = 50
	key := "X-Api-Key: sk-ant-api03-x\r\n"
	token := "Authorization: Bearer sk-ant-oat01-x\r\n"
	message := func(version, host, fields string) string {
		return fmt.Sprintf("POST /v1/messages HTTP/%s\r\nHost: %s\r\n%sContent-Length: 2\r\n\r\n{}", version, host, fields)
	}
	programs := [][]string{
		{message("1.1", "a", key), message("1.1", "a", "Connection: close\r\n"+key), message("1.1", "a", key+"connection: keep-alive\r\n")},
		{message("1.1", "a", token)},
		{message("1.1", "a", key+"User-Agent: one\r\n"), message("1.1", "a", "User-Agent: two\r\n"+key)},
		{message("1.1", "a", token+"X-Stainless-Retry-Count: 0\r\n"), message("1.1", "a", token+"X-Stainless-Retry-Count: 1\r\n")},
		// The second program adds itself what our rules add for the first.
		{message("1.1", "a", token+"X-Session: 0\r\n"), message("1.1", "a", token+"X-Session: 1\r\nAnthropic-Beta: oauth-2025-04-20\r\n")},
	}
	for i, program := range programs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			c := &crowd{}
			c.missing.Add(each * len(program))
			d := openDoor(t, newUpstream(t, "http1", c.ServeHTTP), addBeta, func(s *setup) { s.Proxy.MaxConnections = 1000 })
			var work sync.WaitGroup
			for _, sent := range slices.Repeat(program, each) {
				conn := d.dial(t)
				work.Go(func() {
					_, _ = io.WriteString(conn, sent)
					response, err := http.ReadResponse(conn.in, nil)
					if err != nil {
						t.Error(err)
						return
					}
					if response.StatusCode != http.StatusOK {
						t.Errorf("status %d", response.StatusCode)
						c.missing.Done() // it never comes to the upstream
					}
				})
			}
			work.Wait()
		})
	}
}

// A client that sends its request again on another connection, which had other requests before.
func TestRetriesOnAKeptConnectionAreNoLoop(t *testing.T) {
	t.Parallel()
	entered, hold := make(chan struct{}, 2), make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	defer release()
	up := newUpstream(t, "http1", func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			entered <- struct{}{}
			<-hold
		}
	})
	d := openDoor(t, up, addBeta)
	first, second := d.dial(t), d.dial(t)
	const message = "POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX-Api-Key: x\r\nAccept: */*\r\n\r\n{}"
	first.send(t, message)
	receive(t, entered, "the first message")
	second.send(t, "GET /v1/models HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX-Api-Key: x\r\n\r\n") // in another order
	second.response(t, "GET")
	second.send(t, message)
	receive(t, entered, "the second message")
	release()
	for _, c := range []*rawConn{first, second} {
		if response, body := c.response(t, "POST"); response.StatusCode != 200 {
			t.Errorf("status %d: %s", response.StatusCode, body)
		}
	}
}
