package selftest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/config"
)

// hasty is the patience for a proxy that hangs.
const hasty = 500 * time.Millisecond

// TestEachPropertyCanFail puts a fault in front of the real proxy that breaks one
// property.
func TestEachPropertyCanFail(t *testing.T) {
	for _, tt := range []struct {
		name, property string
		fault          func(http.Handler) http.Handler
		says           string
	}{
		{"a byte of the request changes", "a request body", onRequest(flipBody), "not those that were sent"},
		{"the request is cut short", "a request body", onRequest(shortenBody), ""},
		{"the path is cleaned", "path and query", onRequest(cleanTarget), "arrived /v1/selftest/a"},
		{"request lines are joined", "repeated header lines", onRequest(joinLines), "of a request"},
		{"answer lines are joined", "repeated header lines", onAnswer(broken{header: joinCookies}), "of an answer"},
		{"a spoofed value slips through", "spoofed", onRequest(copySpoofed), "x-copied"},
		{"a byte of the answer changes", "an answer arrives", onAnswer(broken{body: flip}), "not the same"},
		{"a header of the answer goes", "an answer arrives", onAnswer(broken{header: drop("Request-Id")}), "request-id"},
		{"a header of the answer comes", "an answer arrives", onAnswer(broken{header: addOne}), "x-added was not sent"},
		{"events are held back", "each event", onAnswer(broken{silent: true}), ""},
		{"gzip is no longer said", "gzip", onAnswer(broken{header: drop("Content-Encoding")}), "content-encoding"},
		{"gzip is no longer asked for", "gzip", onRequest(plain), "accept-encoding"},
		{"a compressed request is not said to be one", "gzip", onRequest(uncoded), "content-encoding arrived as []"},
		{"request trailers go", "trailers", dropTrailer, "request's trailer"},
		{"announced trailers go", "trailers", dropTrailers("X-Message-Id"), "x-message-id"},
		{"other trailers go", "trailers", dropTrailers(http.TrailerPrefix + "X-Output-Tokens"), "x-output-tokens"},
		{"the request is read first", "an answer may come", readFirst, ""},
		{"retry-after goes", "429", onAnswer(broken{header: drop("Retry-After")}), "retry-after"},
		{"limits go", "429", onAnswer(broken{header: drop("Anthropic-Ratelimit-Tokens-Limit")}), "ratelimit"},
		{"529 becomes another", "429", onAnswer(broken{status: as503}), "the client got 503"},
		{"an error event goes", "an error in a stream", onAnswer(broken{body: without("event: error")}), "not the same"},
		{"a cut looks like an end", "a stream that breaks off", endCleanly, "clean end"},
		{"a cut comes without a word", "a stream that breaks off", onAnswer(broken{body: without("event: error")}), "no event: error"},
		{"the last events before a cut go", "a stream that breaks off", onAnswer(broken{body: without("content_block_delta")}), "not all arrived"},
		{"nobody tells that the client left", "the upstream learns", unaware, "did not learn"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := under(t, config.Default(), hasty, tt.fault)
			for _, protocol := range protocols() {
				v, err := c.try(t.Context(), named(t, tt.property), protocol)
				if err != nil {
					t.Fatal(err)
				}
				if said := strings.Join(v.Details, "\n"); v.Status != Fail || said == "" || !strings.Contains(said, tt.says) {
					t.Errorf("%s: %s %q, want %s with %q", protocol, v.Status, said, Fail, tt.says)
				}
			}
		})
	}
}

// under is the test of c with a fault in front of the proxy.
func under(t *testing.T, c *config.Config, patience time.Duration, fault func(http.Handler) http.Handler) Config {
	t.Helper()
	return Config{Settings: c, patience: patience, around: fault}
}

func TestTheRightProtocolIsSeen(t *testing.T) {
	l, err := openLab(under(t, config.Default(), hasty, nil), protocolHTTP1, defaultListener)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	l.protocol = protocolHTTP2
	if _, err := l.get(t.Context(), "long-1", false); err == nil || !strings.Contains(err.Error(), "spoken to in HTTP/1.1") {
		t.Errorf("HTTP/1.1 is taken for HTTP/2: %v", err)
	}
}

func TestASecondSendingIsSeen(t *testing.T) {
	c := under(t, config.Default(), hasty, twice)
	v, err := c.try(t.Context(), named(t, "path and query"), protocolHTTP2)
	if err != nil || v.Status != Fail || !strings.Contains(strings.Join(v.Details, ""), "the upstream received") {
		t.Errorf("%s %q, %v", v.Status, v.Details, err)
	}
}

// TestEachVerdictOnClientsCanFail does the same for typical clients.
func TestEachVerdictOnClientsCanFail(t *testing.T) {
	shipped, err := config.Load("../../etc/oauth-proxyd.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, verdict string
		fault         func(http.Handler) http.Handler
		says          string
	}{
		{"the answer breaks off", "every client", abortAfterwards, "unexpected EOF"},
		{"a credential changes", "credentials", onRequest(changeCredential), "not what was sent"},
		{"a header comes", "headers change", onRequest(addHeader), "x-added added"},
		{"a header goes", "headers change", onRequest(dropVersion), "anthropic-version dropped"},
		{"a header changes", "headers change", onRequest(changeAccept), "accept changed"},
		{"features go", "the client's own", onRequest(dropFeature), "context-management-2025-06-27"},
		{"the body is not what it was", "a request with an API key", onRequest(spoilBody), "answered 400"},
		{"the answer is a refusal", "an OAuth token", onAnswer(broken{status: as401}), "although"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := under(t, shipped, defaultPatience, tt.fault)
			probes, err := c.tryClients(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range judgeClients(shipped, probes) {
				if !strings.HasPrefix(v.Name, tt.verdict) {
					continue
				}
				if said := strings.Join(v.Details, "\n"); v.Status != Fail || !strings.Contains(said, tt.says) {
					t.Errorf("%s %q, want %s with %q", v.Status, said, Fail, tt.says)
				}
				return
			}
			t.Fatalf("there is no verdict on %q", tt.verdict)
		})
	}
}

func named(t *testing.T, begins string) property {
	t.Helper()
	for _, p := range properties() {
		if strings.HasPrefix(p.name, begins) {
			return p
		}
	}
	t.Fatalf("there is no property %q", begins)
	return property{}
}
