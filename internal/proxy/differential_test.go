package proxy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// seen is what an upstream saw of a request, and told in its response.
type seen struct {
	Method, Target string
	Header         http.Header
	Length         int
	Sum            string
	Trailer        http.Header
}

// tellAll responses with what it saw, and with as many bytes as the query asks for.
func tellAll(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	told, _ := json.Marshal(seen{r.Method, r.RequestURI, r.Header, int(n), fmt.Sprintf("%x", sum.Sum(nil)), r.Trailer})
	w.Header()["X-Line"] = []string{"1", "2,3", "1"}
	w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
	w.Header().Set("X-Request-Id", "the upstream's")
	w.Header().Set("X-Told", url.QueryEscape(string(told)))
	w.Header().Set("Date", "then")
	status, size := 200, 0
	_, _ = fmt.Sscanf(r.Header.Get("X-Status"), "%d", &status)
	_, _ = fmt.Sscanf(r.Header.Get("X-Size"), "%d", &size)
	if r.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Trailer", "X-End")
	w.WriteHeader(status)
	_, _ = w.Write(bytes.Repeat([]byte("0123456789abcdef"), size/16))
	w.Header().Set("X-End", "here")
}

// sample is a generated request. It can be sent more than once.
type sample struct {
	method, target string
	header         http.Header
	body           []byte
	chunked        bool
	trailer        bool
}

func generate(r *rand.Rand) sample {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	s := sample{method: pick("GET", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND", "X-ODD"), header: http.Header{}}
	var path strings.Builder
	for range 1 + r.IntN(5) {
		path.WriteString(pick("/", "/v1", "/a%20b", "/a%2Fb", "/{x}", "/a|b", "/..", "/.", "/a;b=c", "/~", "/%7e", "/a:b@c", "/'()*!$&+,=", "/é"))
	}
	s.target = path.String() + pick("", "", "?", "?a=b", "?a=b;c=d", "?x=%20+&&=", "?{|}", "?a=1&a=2&a", "??")
	for range r.IntN(8) {
		name := pick("X-One", "X-Two", "Accept", "Anthropic-Beta", "Authorization", "X-Api-Key", "Cookie", "If-None-Match", "Range", "X_Under", "Accept-Encoding", "Content-Type", "Te")
		s.header.Add(name, pick("a", "b, c", `"q, r"`, "x=y", "", "\xe9", "sk-ant-oat01-x", "inner  space", "gzip"))
	}
	if len(s.header["Te"]) > 0 {
		s.header["Te"] = []string{"trailers"}
	}
	if len(s.header["Cookie"]) > 0 {
		s.header["Cookie"] = []string{"a=1; b=2"} // HTTP/2 joins lines (RFC 9113 §8.2.3)
	}
	s.header.Set("User-Agent", pick("me", "you/1 (x)"))
	s.header.Set("X-Status", pick("200", "201", "204", "304", "307", "400", "429", "500", "529"))
	s.header.Set("X-Size", pick("0", "16", "4096", "32768", "1048576"))
	if s.method != "GET" && s.method != "HEAD" && r.IntN(4) > 0 {
		sizes := []int{0, 1, 2, 100, 4095, 4096, 4097, 32768, 65536, 100000, 1 << 20, 8 << 20}
		s.body = make([]byte, sizes[min(r.IntN(len(sizes)), r.IntN(len(sizes)))])
		for i := range s.body {
			s.body[i] = byte(r.Uint32())
		}
		s.chunked = r.IntN(2) == 0
		s.trailer = s.chunked && len(s.body) > 0 && r.IntN(2) == 0
	}
	return s
}

// send sends the sample to a server and gives all that can be told of the response.
func (s sample) send(t *testing.T, c *http.Client, base string) (saw seen, got any) {
	t.Helper()
	r := request(t, s.method, base, nil)
	r.URL.Opaque, r.URL.RawQuery, _ = strings.Cut(s.target, "?")
	r.URL.ForceQuery = strings.HasSuffix(s.target, "?")
	if strings.HasPrefix(r.URL.Opaque, "//") {
		r.URL.Opaque = "/" + strings.TrimLeft(r.URL.Opaque, "/") // the client here cannot send it
	}
	r.Header = s.header.Clone()
	if s.body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(s.body)), int64(len(s.body))
		if s.chunked {
			r.ContentLength = -1
		}
		if s.trailer {
			r.Trailer = http.Header{"X-Sum": {"1"}}
		}
	}
	response, body := do(t, c, r)
	told, _ := url.QueryUnescape(response.Header.Get("X-Told"))
	if err := json.Unmarshal([]byte(told), &saw); err != nil {
		t.Fatalf("%s %s: status %d: %.300s", s.method, s.target, response.StatusCode, body)
	}
	response.Header.Del("X-Told")
	return saw, []any{response.StatusCode, response.Header, response.ContentLength, fmt.Sprintf("%x", sha256.Sum256([]byte(body))), response.Trailer}
}

// Through the proxy the upstream sees what it sees directly, and so does the client.
func TestNoDifference(t *testing.T) {
	forEachProtocol(t, tellAll, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up)
		direct, through := newClient(t), newClient(t)
		if up.roots != nil {
			direct = up.client
			direct.Transport.(*http.Transport).DisableCompression = true
			direct.CheckRedirect = through.CheckRedirect
		}
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 300 {
			s := generate(random)
			wantSaw, want := s.send(t, direct, up.url.String())
			saw, got := s.send(t, through, d.url(""))
			ignoreFraming(&saw, &wantSaw)
			if !reflect.DeepEqual(saw, wantSaw) {
				t.Errorf("%d: %s %s: the upstream saw\n%+v, directly\n%+v", i, s.method, s.target, saw, wantSaw)
			}
			if up.roots == nil && !reflect.DeepEqual(got, want) { // HTTP/2 and HTTP/1.1 differ in their framing
				t.Errorf("%d: %s %s: the client saw\n%+v, directly\n%+v", i, s.method, s.target, got, want)
			}
		}
	})
}

// ignoreFraming deletes what HTTP may change from one connection to the next.
func ignoreFraming(all ...*seen) {
	for _, s := range all {
		delete(s.Header, "Content-Length") // of an empty body; the sizes are compared
	}
}

func TestLargeBodyBothWays(t *testing.T) {
	const size = 64 << 20
	forEachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		_, _ = io.Copy(sum, r.Body)
		w.Header().Set("X-Sum", fmt.Sprintf("%x", sum.Sum(nil)))
		_, _ = io.CopyN(w, zeros{}, size)
	}, func(t *testing.T, up *mockAPI) {
		r := request(t, "POST", openDoor(t, up).url("/"), io.LimitReader(zeros{}, size))
		r.ContentLength = size
		response, err := newClient(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		sum := sha256.New()
		_, _ = io.CopyN(sum, zeros{}, size)
		if want := fmt.Sprintf("%x", sum.Sum(nil)); response.Header.Get("X-Sum") != want {
			t.Error("the upstream saw other bytes")
		}
		if n, err := io.Copy(io.Discard, response.Body); n != size || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

// zeros never end.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
