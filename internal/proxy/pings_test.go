package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	dataEvent = "event: content_block_delta\ndata: {\"text\": \"event: ping\"}\n\n"
	pingEvent = "event: ping\ndata: {\"type\": \"ping\"}\n\n"
)

// Only the framing distinguishes events from pings. FuzzEventScanner has them come in pieces.
func TestEventsAreCounted(t *testing.T) {
	crlf := strings.NewReplacer("\n", "\r\n")
	cr := strings.NewReplacer("\n", "\r")
	both := dataEvent + pingEvent + dataEvent
	for name, row := range map[string]struct {
		header string
		stream string
		want   string // kind, events and pings
	}{
		"as the API sends them":   {"", both, "events 2 1"},
		"lines end with CRLF":     {"", crlf.Replace(both), "events 2 1"},
		"lines end with CR":       {"", cr.Replace(both), "events 2 1"},
		"without a blank":         {"", "event:ping\ndata:{}\n\nevent:x\ndata:{}\n\n", "events 1 1"},
		"a comment":               {"", ": keep-alive\n\n:\n\n", "events 0 2"},
		"a comment in an event":   {"", "event: x\n: ping\ndata: 1\n\n", "events 1 0"},
		"a name after its data":   {"", "data: {}\nevent: ping\n\n", "events 0 1"},
		"names like ping":         {"", "event: pinging\ndata: 1\n\nevent: pin\ndata: 1\n\nevents: ping\ndata: 1\n\nEvent: ping\ndata: 1\n\n", "events 4 0"},
		"no name":                 {"", "data: 1\n\n", "events 1 0"},
		"no data":                 {"", "event: x\n\nid: 1\n\n", "events 0 2"},
		"a long line":             {"", "data: " + strings.Repeat("x", 100_000) + "\n\n" + pingEvent, "events 1 1"},
		"empty lines":             {"", "\n\n\n" + dataEvent + "\n\n", "events 1 5"},
		"the last has no end":     {"", dataEvent + "event: ping\ndata: {}\n", "events 1 0"},
		"compressed":              {"Content-Encoding: gzip\r\n", both, "compressed 0 0"},
		"with a charset":          {"Content-Type: text/event-stream; charset=utf-8\r\n", both, "events 2 1"},
		"of another type":         {"Content-Type: application/json\r\n", both, " 0 0"},
		"a type that begins like": {"Content-Type: text/event-streams\r\n", both, " 0 0"},
	} {
		t.Run(name, func(t *testing.T) {
			header := row.header
			if !strings.Contains(header, "Content-Type") {
				header += "Content-Type: text/event-stream\r\n"
			}
			up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
				_, _ = readRequest(in)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+header+"Transfer-Encoding: chunked\r\n\r\n")
				_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n0\r\n\r\n", len(row.stream), row.stream)
			})
			d := openDoor(t, up)
			response, body := do(t, newClient(t), request(t, http.MethodGet, d.url("/"), nil))
			if body != row.stream {
				t.Errorf("%d bytes came, want %d", len(body), len(row.stream))
			}
			trace := d.found(t, response.Header.Get("X-Request-Id"))
			if got := fmt.Sprint(trace.Stream, " ", trace.Events, " ", trace.Pings); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

// openStream is a proxy in a bubble with one stream, and what its upstream sends on it.
func openStream(t *testing.T, header string) (b *bubble, reg *prometheus.Registry, send func(string)) {
	t.Helper()
	reg = prometheus.NewRegistry()
	events := make(chan string)
	t.Cleanup(func() { close(events) })
	b = openBubble(t, "http", nil, func(c net.Conn) {
		_, _ = readRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"+header+"Transfer-Encoding: chunked\r\n\r\n")
		for event := range events {
			_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n", len(event), event)
		}
	}, func(s *setup) { s.Registerer = reg })
	c := b.door.dial()
	t.Cleanup(func() { c.Close() })
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	go func() { _, _ = io.Copy(io.Discard, c) }()
	return b, reg, func(event string) {
		events <- event
		synctest.Wait()
	}
}

// A stream that only pings is distinguished from one that carries data, and is never cut for that.
func TestStreamThatOnlyPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, reg, send := openStream(t, "")
		want := func(when, kind string, longest time.Duration, warning string) {
			t.Helper()
			if got := metric(t, reg, "proxy_streams_only_pings_max_seconds"); got != longest.Seconds() {
				t.Errorf("%s: only pings for %v s, want %v", when, got, longest)
			}
			if got := metric(t, reg, `proxy_streams_in_flight{events="`+kind+`"}`); got != 1 {
				t.Errorf("%s: %v streams of kind %s", when, got, kind)
			}
			if got := strings.Join(b.Warnings(time.Now()), ""); !strings.HasPrefix(got, warning) || warning == "" && got != "" {
				t.Errorf("%s: it warns %q, want %q", when, got, warning)
			}
		}
		ping := func(n int) {
			for range n {
				time.Sleep(10 * time.Second)
				send(pingEvent)
			}
		}
		time.Sleep(time.Second)
		send(dataEvent)
		want("data", "other", 0, "")
		ping(5)
		want("50 s of pings", "other", 0, "")
		ping(7)
		want("2 min of pings", "pings", 2*time.Minute, "")
		ping(12)
		want("4 min of pings", "pings", 4*time.Minute, "1 of 1 streams carry nothing but pings, one for 4m0s: ")
		time.Sleep(time.Minute)
		if trace := b.InFlight()[0]; trace.OnlyPings != 240_000 || trace.Silence != 60_000 || trace.Events != 1 || trace.Pings != 24 {
			t.Errorf("a minute of silence: %+v", trace)
		}
		send(dataEvent)
		want("data again", "other", 0, "")
		for range 12 {
			time.Sleep(10 * time.Second)
			send("\n")
		}
		want("2 min of blank lines", "pings", 2*time.Minute, "")
	})
}

func TestCompressedStreamIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, reg, send := openStream(t, "Content-Encoding: br\r\n")
		for range 40 {
			time.Sleep(10 * time.Second)
			send(pingEvent)
		}
		if got := metric(t, reg, `proxy_streams_in_flight{events="unknown"}`); got != 1 || len(b.Warnings(time.Now())) > 0 {
			t.Errorf("%v are unknown; it warns %q", got, b.Warnings(time.Now()))
		}
	})
}
