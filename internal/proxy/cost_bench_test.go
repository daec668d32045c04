package proxy

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// benchExchange is a request as Claude Code sends it, in front of no upstream.
func benchExchange(b testing.TB, log *slog.Logger, w http.ResponseWriter) *exchange {
	b.Helper()
	target := &url.URL{Scheme: "https", Host: "api.anthropic.com"}
	p, err := New(Config{Host: "host", Log: log, Registerer: prometheus.NewRegistry()}, Settings{
		Proxy: config.Proxy{
			UpstreamURL: target, ConnectTimeout: time.Second, MaxConnections: 10, QueueLimit: 10, MaxRequestBody: 1 << 20,
			Retry: config.Retry{Attempts: 3, Memory: 1 << 20},
		},
		Headers: []config.Header{{
			Name: "Anthropic-Beta", Value: "oauth-2025-04-20", Mode: config.ModeMerge, When: config.When{BearerPrefix: "sk-ant-oat"},
		}},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Close)
	r := httptest.NewRequest(http.MethodPost, "/v1/messages?beta=true", strings.NewReader("{}"))
	for name, value := range map[string]string{
		"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "claude-cli/2.1.330 (external, cli)",
		"Authorization": "Bearer sk-ant-oat01-bench", "Anthropic-Version": "2023-06-01", "X-App": "cli",
		"Anthropic-Beta":           "claude-code-20250219,interleaved-thinking-2025-05-14",
		"X-Claude-Code-Session-Id": "0b2f7a3e-5d1c-4f6a-9a57-2a3f0f6a8b11", "Accept-Encoding": "gzip, br",
		"X-Stainless-Lang": "js", "X-Stainless-Os": "Linux", "X-Stainless-Runtime": "node", "X-Stainless-Arch": "x64",
	} {
		r.Header.Set(name, value)
	}
	x := p.open(w, r)
	b.Cleanup(x.close)
	return x
}

// BenchmarkRewrite is the making of the request that the upstream gets.
func BenchmarkRewrite(b *testing.B) {
	x := benchExchange(b, slog.New(slog.DiscardHandler), httptest.NewRecorder())
	b.ReportAllocs()
	for b.Loop() {
		x.rec.HeaderRules = x.rec.HeaderRules[:0]
		x.rewrite()
	}
}

// BenchmarkRecord is all that is written down of a request: the record from its start to its end,
// its metrics, and the line of the log.
func BenchmarkRecord(b *testing.B) {
	logs := map[string]*slog.Logger{
		"metrics":         slog.New(slog.DiscardHandler),
		"metrics and log": slog.New(slog.NewJSONHandler(io.Discard, nil)),
	}
	response := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Request-Id": {"req_1"}}}
	for name, log := range logs {
		b.Run(name, func(b *testing.B) {
			x := benchExchange(b, log, httptest.NewRecorder())
			b.ReportAllocs()
			for b.Loop() {
				x.rec = newRecord(x.in, "proxy")
				x.rec.admitted = true
				x.identify(access.Identity{Source: config.Local})
				x.rec.HeaderRules = []RuleTrace{{"anthropic-beta", ruleAdded}}
				x.rec.attempt("")
				x.rec.enter(phaseSending, "on connection 1, its request 2")
				x.rec.began(response, "", "")
				x.setOutcome(outcomeOK, "")
				x.rec.close(2)
				x.proxy.record(x)
			}
		})
	}
}

// nowhere takes a response and costs nothing.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) FlushError() error           { return nil }

// BenchmarkPass is what an event of a stream costs beside reading and writing it.
func BenchmarkPass(b *testing.B) {
	x := benchExchange(b, slog.New(slog.DiscardHandler), nowhere{http.Header{}})
	x.rec.Stream = StreamEvents
	buffer := make([]byte, smallBuffer)
	n := copy(payload(buffer), "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0}\n\n")
	b.ReportAllocs()
	for b.Loop() {
		if err := x.pass(buffer, n, false); err != nil {
			b.Fatal(err)
		}
	}
}

// halfConn takes half of each write.
type halfConn struct {
	net.Conn
	wrote []byte
}

func (c *halfConn) SetWriteDeadline(time.Time) error { return nil }

func (c *halfConn) Write(p []byte) (int, error) {
	c.wrote = append(c.wrote, p[:len(p)/2]...)
	return len(p) / 2, os.ErrDeadlineExceeded
}

// A client that has part of a chunk would take an error event for the rest of it.
func TestNoEventFollowsHalfAChunk(t *testing.T) {
	w := httptest.NewRecorder()
	x := benchExchange(t, slog.New(slog.DiscardHandler), w)
	client := &halfConn{}
	x.conn.Conn, x.rec.Stream = client, StreamEvents
	buffer := make([]byte, smallBuffer)
	if err := x.pass(buffer, copy(payload(buffer), "data: {}\n\n"), true); !errors.Is(err, errClientGone) {
		t.Fatalf("got %v", err)
	}
	x.cut(fail(CodeDraining, nil, "it stops"))
	if got := w.Body.String(); got != "" || string(client.wrote) != "a\r\ndata" {
		t.Errorf("after half of a chunk, %q, came %q", client.wrote, got)
	}
}

// An event of a stream costs no allocation, whatever it is.
func TestPassAllocatesNothing(t *testing.T) {
	x := benchExchange(t, slog.New(slog.DiscardHandler), nowhere{http.Header{}})
	x.rec.Stream = StreamEvents
	for _, event := range []string{
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0}\n\n",
		"event: ping\r\ndata: {\"type\": \"ping\"}\r\n\r\n", ": a comment\n\n", "event: pi", "ng\ndata: {", "}\n\n",
	} {
		buffer := make([]byte, smallBuffer)
		size := copy(payload(buffer), event)
		if n := testing.AllocsPerRun(100, func() { _ = x.pass(buffer, size, false) }); n > 0 {
			t.Errorf("%q costs %v allocations", event, n)
		}
	}
}
