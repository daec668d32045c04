package labapi_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"oauth-proxyd/internal/lab/labapi"
)

const oauth = "sk-ant-oat01-not-a-token"

// observer keeps what the API saw.
type observer struct {
	mu   sync.Mutex
	seen []labapi.Request
}

func (o *observer) observe(r labapi.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, r)
}

// only returns the one request that was seen.
func (o *observer) only(t *testing.T) labapi.Request {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.seen) != 1 {
		t.Fatalf("the API saw %d requests, want 1", len(o.seen))
	}
	return o.seen[0]
}

func TestObservedRequest(t *testing.T) {
	var o observer
	s := startWith(t, labapi.Config{Observe: o.observe})
	const body = `{"model":"m"}`
	r := request(t.Context(), t, http.MethodPost, s.URL, io.MultiReader(strings.NewReader(body)))
	r.URL.Opaque = "/v1/messages?a=1;b=%20&{c}"
	r.Host = "api.example"
	r.Header["Anthropic-Beta"] = []string{"a,b", "c"}
	do(t, client(t, false), r)
	got := o.only(t)
	if got.Method != "POST" || got.Target != "/v1/messages?a=1;b=%20&{c}" || got.Host != "api.example" || got.Proto != "HTTP/1.1" {
		t.Errorf("saw %s %s of %s, %s", got.Method, got.Target, got.Host, got.Proto)
	}
	sum := sha256.Sum256([]byte(body))
	if got.BodyLength != int64(len(body)) || got.BodySHA256 != hex.EncodeToString(sum[:]) || !got.BodyComplete {
		t.Errorf("saw a body of %d bytes, hash %s, complete: %t", got.BodyLength, got.BodySHA256, got.BodyComplete)
	}
	if !slices.Equal(got.Header["Anthropic-Beta"], []string{"a,b", "c"}) {
		t.Errorf("saw beta lines %q", got.Header["Anthropic-Beta"])
	}
}

func TestObserverSeesNoCredential(t *testing.T) {
	tests := []struct{ name, field, value, want string }{
		{"subscription", "Authorization", "Bearer " + oauth, "[oauth]"},
		{"scheme in lower case", "Authorization", "bearer " + oauth, "[oauth]"},
		{"key as a bearer", "Authorization", "Bearer " + apiKey, "[api_key]"},
		{"key", "X-Api-Key", "secret", "[api_key]"},
		{"other bearer", "Authorization", "Bearer secret", "[other]"},
		{"basic", "Authorization", "Basic secret", "[other]"},
		{"cookie", "Cookie", "session=secret", "[other]"},
		{"proxy", "Proxy-Authorization", "Basic secret", "[other]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o observer
			s := startWith(t, labapi.Config{Observe: o.observe})
			r := request(t.Context(), t, http.MethodGet, s.URL+"/api/hello", nil)
			r.Header = http.Header{tt.field: {tt.value}}
			do(t, client(t, false), r)
			got := o.only(t)
			if got.Header.Get(tt.field) != tt.want || strings.Contains(fmt.Sprint(got), tt.value) {
				t.Errorf("saw %v, want %s", got, tt.want)
			}
			if got.CredentialSHA256 != labapi.CredentialSHA256(r.Header) || got.CredentialSHA256 == "" {
				t.Errorf("hash %q, want the one of what was sent", got.CredentialSHA256)
			}
		})
	}
}

func TestCredentialHash(t *testing.T) {
	sum := labapi.CredentialSHA256
	if got := sum(http.Header{"Accept": {"x"}}); got != "" {
		t.Errorf("hash %q of no credential", got)
	}
	one := sum(http.Header{"X-Api-Key": {"a"}})
	for _, other := range []http.Header{
		{"X-Api-Key": {"b"}},
		{"X-Api-Key": {"a", ""}},
		{"Authorization": {"a"}},
	} {
		if sum(other) == one {
			t.Errorf("%v has the same hash as another credential", other)
		}
	}
}

func TestAccountHeaders(t *testing.T) {
	const unified, key = "Anthropic-Ratelimit-Unified-", "Anthropic-Ratelimit-Requests-"
	tests := []struct {
		name    string
		header  http.Header
		present []string
		absent  []string
	}{
		{
			"subscription",
			http.Header{"Authorization": {"Bearer " + oauth}},
			[]string{unified + "Status", unified + "Reset", unified + "5h-Utilization", unified + "7d-Utilization", unified + "Overage-Status", unified + "Overage-Utilization", "Anthropic-Organization-Id"},
			[]string{key + "Limit"},
		},
		{
			"key",
			http.Header{"X-Api-Key": {apiKey}},
			[]string{key + "Limit", key + "Remaining", key + "Reset", "Anthropic-Ratelimit-Tokens-Limit", "Anthropic-Organization-Id"},
			[]string{unified + "Status"},
		},
		{"none", http.Header{}, nil, []string{key + "Limit", unified + "Status", "Anthropic-Organization-Id"}},
	}
	s := startWith(t, labapi.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, http.MethodGet, s.URL+"/v1/models", nil)
			r.Header = tt.header
			resp, _ := do(t, client(t, false), r)
			for _, field := range tt.present {
				if resp.Header.Get(field) == "" {
					t.Errorf("no %s", field)
				}
			}
			for _, field := range tt.absent {
				if resp.Header.Get(field) != "" {
					t.Errorf("%s without such a credential", field)
				}
			}
		})
	}
}

func TestOneOrganizationPerCredential(t *testing.T) {
	s := startWith(t, labapi.Config{})
	seen := make(map[string]string)
	for _, token := range []string{"one", "two", "one"} {
		r := request(t.Context(), t, http.MethodGet, s.URL+"/v1/models", nil)
		r.Header = http.Header{"Authorization": {"Bearer " + oauth + token}}
		resp, _ := do(t, client(t, false), r)
		id := resp.Header.Get("Anthropic-Organization-Id")
		if len(id) != 36 || seen[id] != "" && seen[id] != token {
			t.Errorf("organization %q of %s, also of %q", id, token, seen[id])
		}
		seen[id] = token
	}
	if len(seen) != 2 {
		t.Errorf("%d organizations of 2 credentials", len(seen))
	}
}

func TestCompressedRequests(t *testing.T) {
	var observed labapi.Request
	s := startWith(t, labapi.Config{Observe: func(r labapi.Request) { observed = r }})
	packed := func(text string) string {
		var out bytes.Buffer
		zip := gzip.NewWriter(&out)
		_, _ = zip.Write([]byte(text))
		_ = zip.Close()
		return out.String()
	}
	message := packed(`{"model":"` + strings.Repeat("m", 10_000) + `"}`)
	tests := []struct {
		name, coding, body string
		status             int
	}{
		{"gzip", "gzip", message, 200},
		{"not in gzip format", "gzip", "{}", 400},
		{"cut", "gzip", message[:len(message)-10], 400},
		{"not compressed", "identity", "{}", 200},
		{"another coding", "br", "{}", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, http.MethodPost, s.URL+"/v1/messages", strings.NewReader(tt.body))
			r.Header.Set("Content-Encoding", tt.coding)
			resp, body := do(t, client(t, false), r)
			if resp.StatusCode != tt.status {
				t.Errorf("%d %s, want %d", resp.StatusCode, body, tt.status)
			}
			if observed.BodyLength != int64(len(tt.body)) {
				t.Errorf("%d bytes were seen, want the %d that were sent", observed.BodyLength, len(tt.body))
			}
		})
	}
}

func TestClientGoneWhileUploading(t *testing.T) {
	seen := make(chan labapi.Request, 1)
	s := startWith(t, labapi.Config{Observe: func(r labapi.Request) { seen <- r }})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "POST /v1/messages HTTP/1.1\r\nHost: upstream\r\nX-Api-Key: k\r\nContent-Length: 999\r\n\r\n{\"model\":\"m\"")
	conn.Close()
	if err != nil {
		t.Fatal(err)
	}
	if r := <-seen; r.BodyComplete || r.BodyLength != 12 {
		t.Errorf("saw %d bytes, complete: %t, want 12 of a body that is not", r.BodyLength, r.BodyComplete)
	}
}
