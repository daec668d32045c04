package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/proxy"
)

// namingGateway makes this host a gateway that names people in the header that asPerson adds.
func namingGateway(s *setup) {
	gateways := []config.Source{{Kind: config.Proxied}}
	s.Access.Allow = append(gateways, s.Access.Allow...)
	s.Identity = config.Gateways{From: gateways, Header: "X-Person"}
}

// asPerson is the request of a person behind that gateway.
func asPerson(path, name string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: h\r\nX-Person: " + name + "\r\n\r\n"
}

// stormUpstream streams at /stream until end is closed, and is slow to notice that a request to
// /greedy was cancelled.
func stormUpstream(t *testing.T, end <-chan struct{}) (up *mockAPI, events chan<- string) {
	feed := make(chan string)
	up = newUpstream(t, "http2", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/greedy":
			<-end
		case "/stream":
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			for {
				select {
				case event := <-feed:
					_, _ = io.WriteString(w, event)
					_ = http.NewResponseController(w).Flush()
				case <-end:
					return
				}
			}
		default:
			_, _ = io.WriteString(w, "short")
		}
	})
	return up, feed
}

// storm sends requests of one person, many at a time, and leaves each of them, until hundreds are
// refused.
func (d *door) storm(t *testing.T) {
	t.Helper()
	const workers, kept = 20, 10
	var dialer net.Dialer
	var work sync.WaitGroup
	for range workers {
		work.Go(func() {
			var open []net.Conn
			for i := 0; i%20 > 0 || counter(t, d, "proxy_errors_total", "cancelling_too_fast") < 300; i++ {
				c, err := dialer.DialContext(t.Context(), "tcp", d.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(c, asPerson("/greedy", "greedy"))
				if open = append(open, c); len(open) > kept {
					_ = open[0].Close()
					open = open[1:]
				}
			}
			for _, c := range open {
				_ = c.Close()
			}
		})
	}
	work.Wait()
}

// One person's storm of cancelled requests is not felt by others, whose streams share the
// connection to a server that closes it for that.
func TestCancellationStorm(t *testing.T) {
	end := make(chan struct{})
	up, events := stormUpstream(t, end)
	d := openDoor(t, up, namingGateway, func(s *setup) { s.Proxy.MaxConnections, s.Proxy.QueueLimit = 150, 5000 })
	client := newClient(t)
	stream, err := client.Do(request(t, http.MethodGet, d.url("/stream"), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	lines := bufio.NewReader(stream.Body)
	stormed := make(chan struct{})
	start := time.Now()
	go func() {
		defer close(stormed)
		d.storm(t)
	}()
	defer func() { <-stormed }()
	for i := 0; ; i++ {
		event := fmt.Sprintf("data: %d\n", i)
		events <- event
		if got, err := lines.ReadString('\n'); got != event {
			t.Fatalf("the stream was cut after %d events: %q, %v", i, got, err)
		}
		if response, body := do(t, client, request(t, http.MethodGet, d.url("/short"), nil)); response.StatusCode != 200 || body != "short" {
			t.Fatalf("request %d of another client: status %d, %s", i, response.StatusCode, body)
		}
		select {
		case <-stormed:
		default:
			continue
		}
		break
	}
	lasted, cancelled := time.Since(start), metric(t, d.reg, `proxy_client_gone_total{phase="waiting"}`)
	refused := counter(t, d, "proxy_errors_total", "cancelling_too_fast")
	t.Logf("the storm lasted %v; the upstream had %v requests cancelled, %v were refused", lasted, cancelled, refused)
	if windows := 2 + lasted.Seconds()/3; cancelled > windows*450 {
		t.Error("more were cancelled than 300 in 3 s and those that had the 150 slots then")
	}
	if share := metric(t, d.reg, `proxy_recent_error_ratio{class="proxy",window="5m"}`); share > 0 {
		t.Errorf("the refusals count as failures of this host: %v", share)
	}
	close(end)
	if rest, err := io.ReadAll(lines); err != nil {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
}

// A connection on which several persons together cancel too many requests gets no more of them.
func TestConnectionSparedAfterCancellations(t *testing.T) {
	const persons, each = 5, 40
	arrived, left := make(chan struct{}), make(chan string)
	up := newUpstream(t, "http2", func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
		left <- r.RemoteAddr
	})
	d := openDoor(t, up, namingGateway)
	resets := make(map[string]int)
	for i := range persons * each {
		c := d.dialFrom(t, "127.0.0.1")
		c.send(t, asPerson("/", fmt.Sprint("person-", i%persons)))
		receive(t, arrived, "a request")
		_ = c.Close()
		resets[receive(t, left, "the end of a request")]++
	}
	if most := slices.Max(slices.Collect(maps.Values(resets))); most > 80 || len(resets) < 3 {
		t.Errorf("cancelled requests by connection: %v", resets)
	}
	if n := counter(t, d, "proxy_errors_total", "cancelling_too_fast"); n > 0 {
		t.Errorf("%v requests refused of persons who cancelled %d each", n, each)
	}
}

// peerOf names two nodes of one user, and others by their address.
func peerOf(_ context.Context, addr netip.AddrPort) (access.Identity, bool, error) {
	switch text := addr.Addr().String(); text {
	case "100.70.1.1", "100.70.1.3":
		return access.Identity{Node: "node-" + text, User: "ann@example.com"}, true, nil
	default:
		return access.Identity{Node: "node-" + text, Tags: []string{"tag:a"}}, true, nil
	}
}

// cancellingBubble is a proxy whose upstream does at each request what response says, and waits
// then until it is cancelled; requests to / get a whole response.
func cancellingBubble(t *testing.T, response string, change ...func(*setup)) *bubble {
	return openBubble(t, "http", nil, func(c net.Conn) {
		in := bufio.NewReader(c)
		for r, _ := readRequest(in); r != nil; r, _ = readRequest(in) {
			if r.URL.Path == "/" {
				_, _ = io.WriteString(c, wholeResponse)
			} else {
				_, _ = io.WriteString(c, response)
			}
		}
	}, append([]func(*setup){allow(config.Source{Kind: config.Tailnet}), asks(peerOf)}, change...)...)
}

// cancel sends n requests from an address, one after the other, and leaves each.
func (b *bubble) cancel(t *testing.T, address string, n int) {
	t.Helper()
	for range n {
		c := b.from(t, address)
		c.send(t, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
		synctest.Wait()
		_ = c.Close()
		synctest.Wait()
	}
}

// get is the status of a request from an address.
func (b *bubble) get(t *testing.T, address string) int {
	t.Helper()
	c := b.from(t, address)
	c.send(t, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	response, body := c.response(t, http.MethodGet)
	if response.StatusCode == http.StatusServiceUnavailable {
		ours(t, response, body, 503, "cancelling_too_fast", "http_request_denied")
	}
	return response.StatusCode
}

// A person is refused on all their nodes, for a while, and nobody else is.
func TestCancellingTooFast(t *testing.T) {
	const laptop, phone, node, sibling = "100.70.1.1:4000", "100.70.1.3:4000", "100.70.1.4:4000", "100.70.1.5:4000"
	for name, response := range map[string]string{
		"before the response": "",
		"in the response":     "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := cancellingBubble(t, response)
				want := func(address string, status int, when string) {
					t.Helper()
					if got := b.get(t, address); got != status {
						t.Errorf("%s %s: status %d, want %d", address, when, got, status)
					}
				}
				b.cancel(t, laptop, 299)
				want(laptop, 200, "after 299 cancelled requests")
				b.cancel(t, laptop, 1)
				want(laptop, 503, "after 300")
				want(phone, 503, "after 300")
				want(node, 200, "meanwhile")
				b.cancel(t, node, 400) // those beyond 300 never reach the upstream
				want(node, 503, "after 400")
				want(sibling, 200, "meanwhile")
				time.Sleep(3 * time.Second)
				want(laptop, 200, "3 s later")
				want(node, 200, "3 s later")
			})
		})
	}
}

// After 3 s a person is served again, no matter how many requests were cancelled at once.
func TestThousandCancellationsForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := cancellingBubble(t, "", func(s *setup) { s.Proxy.MaxConnections = 1000 })
		var open []*rawConn
		for range 1000 {
			c := b.from(t, peerAddr)
			c.send(t, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
			open = append(open, c)
		}
		synctest.Wait()
		for _, c := range open {
			_ = c.Close()
		}
		synctest.Wait()
		if got := b.get(t, peerAddr); got != 503 {
			t.Errorf("at once: status %d", got)
		}
		time.Sleep(3100 * time.Millisecond)
		if got := b.get(t, peerAddr); got != 200 {
			t.Errorf("3.1 s later: status %d", got)
		}
	})
}

// Cancelled requests do not count if the upstream never got them.
func TestCancelledInQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := cancellingBubble(t, "", func(s *setup) { s.Proxy.MaxConnections, s.Proxy.QueueTimeout = 1, time.Hour })
		first := b.from(t, peerAddr)
		first.send(t, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
		synctest.Wait()
		b.cancel(t, peerAddr, 200)
		_ = first.Close()
		synctest.Wait()
		if got := b.get(t, peerAddr); got != 200 {
			t.Errorf("status %d", got)
		}
	})
}

// A request that waited while others of its sender were cancelled is refused, too.
func TestCancellingJudgedAfterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var settings proxy.Settings
		b := cancellingBubble(t, "", func(s *setup) {
			s.Proxy.MaxConnections, s.Proxy.QueueTimeout = 310, time.Hour
			settings = s.Settings
		})
		var open []*rawConn
		for range 310 {
			c := b.from(t, peerAddr)
			c.send(t, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
			open = append(open, c)
		}
		settings.Proxy.MaxConnections = 5
		reload, err := b.Prepare(settings)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		reload()
		waiting := b.from(t, peerAddr)
		waiting.send(t, smuggled)
		synctest.Wait()
		for _, c := range open {
			_ = c.Close()
		}
		response, body := waiting.response(t, http.MethodGet)
		ours(t, response, body, 503, "cancelling_too_fast", "http_request_denied")
	})
}
