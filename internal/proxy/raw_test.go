package proxy_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// sightings counts the requests that an upstream saw, with their bodies.
type sightings struct {
	mu   sync.Mutex
	seen []string
}

func (s *sightings) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = append(body, "!"+err.Error()...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.Method+" "+r.RequestURI+" "+string(body))
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, "ok")
}

// whole are those whose body came to its end.
func (s *sightings) whole() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var whole []string
	for _, one := range s.seen {
		if !strings.Contains(one, "!") {
			whole = append(whole, one)
		}
	}
	return whole
}

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

// rawCase is bytes that a client library would not write.
type rawCase struct {
	name, sent string
	status     string   // how the first response begins
	whole      []string // requests that may reach the upstream
	closes     bool     // the connection, before what follows is taken for a request
}

// lengthCases disagree about where the request ends.
func lengthCases() []rawCase {
	const post = "POST /a HTTP/1.1\r\nHost: h\r\n"
	return []rawCase{
		{"both lengths", post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "200", []string{"POST /a "}, true},
		{"both lengths the other way round", post + "transfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\n" + smuggled, "200", []string{"POST /a "}, true},
		{"two lengths", post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab" + smuggled, "400", nil, true},
		{"two equal lengths", post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", "200", []string{"POST /a ab"}, false},
		{"a list of lengths", post + "Content-Length: 2, 2\r\n\r\nab" + smuggled, "400", nil, true},
		{"length with a sign", post + "Content-Length: +2\r\n\r\nab" + smuggled, "400", nil, true},
		{"negative length", post + "Content-Length: -1\r\n\r\n" + smuggled, "400", nil, true},
		{"length of words", post + "Content-Length: 0x2\r\n\r\nab" + smuggled, "400", nil, true},
		{"two codings", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "501", nil, true},
		{"unknown coding", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled, "501", nil, true},
		{"identity", post + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nab" + smuggled, "501", nil, true},
		{"coding with a tab", post + "Transfer-Encoding: \tchunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "200", []string{"POST /a ab"}, false},
		{"coding with a vertical tab", post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + smuggled, "", nil, true},
		{"chunked in HTTP/1.0", "POST /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "400", nil, true},
		{"chunked in HTTP/1.0 that stays", "POST /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nab" + smuggled, "400", nil, true},
	}
}

// headerOf is a request of that many bytes.
func headerOf(size int) string {
	const begin, end = "GET /a HTTP/1.1\r\nHost: h\r\nX-A: ", "\r\n\r\n"
	return begin + strings.Repeat("a", size-len(begin)-len(end)) + end
}

// lineCases are odd lines.
func lineCases() []rawCase {
	const post = "POST /a HTTP/1.1\r\nHost: h\r\n"
	return []rawCase{
		{"folded line", "GET /a HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n", "200", []string{"GET /a "}, false},
		{"folded coding", post + "Transfer-Encoding:\r\n chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "200", []string{"POST /a ab"}, false},
		{"first line folded", "GET /a HTTP/1.1\r\n Host: h\r\n\r\n", "400", nil, true},
		{"bare LF", "GET /a HTTP/1.1\nHost: h\n\n", "200", []string{"GET /a "}, false},
		{"bare CR in a value", "GET /a HTTP/1.1\r\nHost: h\r\nX-A: b\rX-B: c\r\n\r\n" + smuggled, "400", nil, true},
		{"bare CR for a line end", "GET /a HTTP/1.1\rHost: h\r\r" + smuggled, "400", nil, true},
		{"space before the colon", post + "Content-Length : 2\r\n\r\nab" + smuggled, "400", nil, true},
		{"space in a name", "GET /a HTTP/1.1\r\nHost: h\r\nX A: b\r\n\r\n" + smuggled, "400", nil, true},
		{"no colon", "GET /a HTTP/1.1\r\nHost: h\r\nX-A\r\n\r\n" + smuggled, "400", nil, true},
		{"empty name", "GET /a HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n" + smuggled, "400", nil, true},
		{"NUL in a value", "GET /a HTTP/1.1\r\nHost: h\r\nX-A: a\x00b\r\n\r\n" + smuggled, "400", nil, true},
		{"NUL in a name", "GET /a HTTP/1.1\r\nHost: h\r\nX-\x00A: b\r\n\r\n" + smuggled, "400", nil, true},
		{"NUL in the path", "GET /a\x00b HTTP/1.1\r\nHost: h\r\n\r\n" + smuggled, "400", nil, true},
		{"no host", "GET /a HTTP/1.1\r\n\r\n" + smuggled, "400", nil, true},
		{"two hosts", "GET /a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n" + smuggled, "400", nil, true},
		{"host with a space", "GET /a HTTP/1.1\r\nHost: h i\r\n\r\n" + smuggled, "400", nil, true},
		{"host with a path", "GET /a HTTP/1.1\r\nHost: h/../b\r\n\r\n" + smuggled, "400", nil, true},
		{"empty host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n", "200", []string{"GET /a "}, false},
		{"bad version", "GET /a HTTP/1.2.3\r\nHost: h\r\n\r\n" + smuggled, "400", nil, true},
		{"version 9", "GET /a HTTP/9.9\r\nHost: h\r\n\r\n" + smuggled, "505", nil, true},
		{"no version", "GET /a\r\n\r\n", "400", nil, true},
		{"version 2", "GET /a HTTP/2.0\r\nHost: h\r\n\r\n" + smuggled, "505", nil, true},
		{"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled, "400", nil, true},
		{"preface of HTTP/2 with a header", "PRI * HTTP/2.0\r\nHost: h\r\n\r\n" + smuggled, "400", nil, true},
		{"space in the path", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n" + smuggled, "400", nil, true},
		{"space in the query", "GET /a?b c HTTP/1.1\r\nHost: h\r\n\r\n" + smuggled, "400", nil, true},
		{"bad method", "G\x7fT /a HTTP/1.1\r\nHost: h\r\n\r\n" + smuggled, "400", nil, true},
		{"header of 64 KiB", headerOf(64 << 10), "200", []string{"GET /a "}, false},
		{"header above 64 KiB and what net/http reads ahead", headerOf(72<<10 + 1), "431", nil, true},
		{"huge header", "GET /a HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("a", 80<<10) + "\r\n\r\n" + smuggled, "431", nil, true},
		{"many headers", "GET /a HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X-A: b\r\n", 12<<10) + "\r\n" + smuggled, "431", nil, true},
		{"unknown expectation", post + "Expect: 200-ok\r\nContent-Length: 2\r\n\r\nab" + smuggled, "417", nil, true},
	}
}

// chunkCases are odd bodies, and what comes behind bodies.
func chunkCases() []rawCase {
	const post = "POST /a HTTP/1.1\r\nHost: h\r\n"
	return []rawCase{
		{"pipelined", smuggled + smuggled, "200", []string{"GET /smuggled ", "GET /smuggled "}, false},
		{"many pipelined", strings.Repeat(smuggled, 5), "200", slices.Repeat([]string{"GET /smuggled "}, 5), false},
		{
			"many pipelined with bodies",
			post + "Content-Length: 2\r\n\r\nab" + post + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" + smuggled + smuggled,
			"200",
			[]string{"POST /a ab", "POST /a ab", "GET /smuggled ", "GET /smuggled "},
			false,
		},
		{"pipelined after a body", post + "Content-Length: 2\r\n\r\nab" + smuggled, "200", []string{"POST /a ab", "GET /smuggled "}, false},
		{"pipelined after chunks", post + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" + smuggled, "200", []string{"POST /a ab", "GET /smuggled "}, false},
		{"chunk extension", post + "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r\n\r\n", "200", []string{"POST /a ab"}, false},
		{"chunk extension with a bare LF", post + "Transfer-Encoding: chunked\r\n\r\n2;a\nab\r\n0\r\n\r\n" + smuggled, "400", nil, true},
		{"chunk without its end", post + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n" + smuggled, "400", nil, true},
		{"chunk of a bad size", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + smuggled, "400", nil, true},
		{"chunk of a huge size", post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + smuggled, "400", nil, true},
		{"chunk of a signed size", post + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + smuggled, "400", nil, true},
		{"chunk of a size with 0x", post + "Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n" + smuggled, "400", nil, true},
		{"bad chunk after a good one", post + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\nGET /b\r\n\r\n" + smuggled, "400", nil, true},
		{"bad trailer", post + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nno colon\r\n\r\n" + smuggled, "400", nil, true},
		{"request in a trailer", post + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + smuggled, "", nil, true},
	}
}

// Where the connection stays open, another request follows: it must be the next that the upstream
// sees, and its response the last.
func TestRawRequests(t *testing.T) {
	for _, c := range slices.Concat(lengthCases(), lineCases(), chunkCases()) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var saw sightings
			d := openDoor(t, newUpstream(t, "http1", saw.ServeHTTP))
			conn := d.dial(t)
			if !c.closes {
				c.sent += "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
				c.whole = append(c.whole, "GET /last ")
			}
			conn.send(t, c.sent)
			responses := conn.rest()
			status, _ := strings.CutPrefix(responses, "HTTP/1.1 ")
			status, _ = strings.CutPrefix(status, "HTTP/1.0 ")
			if !strings.HasPrefix(status, c.status) {
				t.Errorf("responses %q, want status %s", responses, c.status)
			}
			if whole := saw.whole(); strings.Join(whole, "\n") != strings.Join(c.whole, "\n") {
				t.Errorf("the upstream saw %q, want %q", whole, c.whole)
			}
		})
	}
}
