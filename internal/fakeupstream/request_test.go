package fakeupstream_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/fakeupstream"
)

func TestObservedRequest(t *testing.T) {
	var o observer
	s := start(t, fakeupstream.Config{Observe: o.observe})
	const body = `{"model":"m"}`
	r := request(t.Context(), t, http.MethodPost, s.URL(), io.MultiReader(strings.NewReader(body)))
	r.URL.Opaque = "/v1/messages?a=1;b=%20&{c}"
	r.Host = "api.example"
	r.Header["Anthropic-Beta"] = []string{"a,b", "c"}
	do(t, client(t), r)
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
			s := start(t, fakeupstream.Config{Observe: o.observe})
			r := request(t.Context(), t, http.MethodGet, s.URL()+"/api/hello", nil)
			r.Header = http.Header{tt.field: {tt.value}}
			do(t, client(t), r)
			got := o.only(t)
			if got.Header.Get(tt.field) != tt.want || strings.Contains(fmt.Sprint(got), tt.value) {
				t.Errorf("saw %v, want %s", got, tt.want)
			}
			if got.CredentialSHA256 != fakeupstream.CredentialSHA256(r.Header) || got.CredentialSHA256 == "" {
				t.Errorf("hash %q, want the one of what was sent", got.CredentialSHA256)
			}
		})
	}
}

func TestCredentialHash(t *testing.T) {
	sum := fakeupstream.CredentialSHA256
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

func TestBadBodies(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"not JSON", `{"model":`, "The request body is not valid JSON"},
		{"empty", ``, "The request body is not valid JSON"},
		{"not an object", `"model"`, "The request body is not valid JSON"},
		{"null", `null`, "The request body is not valid JSON"},
		{"two objects", `{} {}`, "The request body is not valid JSON"},
		{"wrong type", `{"model":1}`, "The request body has a field of the wrong type"},
	}
	s := start(t, fakeupstream.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := message(t, s, tt.body)
			f := parseFailure(t, resp, body)
			if resp.StatusCode != 400 || f.Error.Type != "invalid_request_error" || f.Error.Message != tt.want {
				t.Errorf("%d %s, want 400 %s", resp.StatusCode, body, tt.want)
			}
		})
	}
}

// TestBodyLimit sends the largest message and one that is a byte longer.
func TestBodyLimit(t *testing.T) {
	const limit = 32 << 20
	s := start(t, fakeupstream.Config{})
	for _, extra := range []int{0, 1} {
		padding := bytes.Repeat([]byte(" "), limit-len(`{"model":"m"}`)+extra)
		r := request(t.Context(), t, http.MethodPost, s.URL()+"/v1/messages", bytes.NewReader(append([]byte(`{"model":"m"}`), padding...)))
		resp, body := do(t, client(t), r)
		if extra == 0 && resp.StatusCode != http.StatusOK {
			t.Errorf("at the limit: %d %s, want 200", resp.StatusCode, body)
		}
		if extra == 1 && (resp.StatusCode != 413 || parseFailure(t, resp, body).Error.Type != "request_too_large") {
			t.Errorf("beyond the limit: %d %s, want 413", resp.StatusCode, body)
		}
	}
}

func TestExpectContinue(t *testing.T) {
	s := start(t, fakeupstream.Config{})
	conn := dial(t, s)
	_, err := io.WriteString(conn, "POST /v1/messages HTTP/1.1\r\nHost: upstream\r\nX-Api-Key: k\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("got %q, %v, want 100 before the body", line, err)
	}
	if _, err := io.WriteString(conn, "{}"); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(in)
	if err != nil || !strings.Contains(string(rest), "HTTP/1.1 200 ") {
		t.Errorf("got %q, %v, want 200", rest, err)
	}
}
