package inbound

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// headersOf are those of the requests in text, which comes in pieces of that size.
func headersOf(text string, size int) []header {
	var s scanner
	for piece := range slices.Chunk([]byte(text), max(1, size)) {
		s.scan(piece)
	}
	return s.heads
}

// String is for the messages of tests.
func (h header) String() string { return strings.ReplaceAll(string(h.names), "\n", ", ") }

func TestScannerFindsEachHeader(t *testing.T) {
	const first, second = "POST / HTTP/1.1\r\nHost: h\r\nX-Api-Key: k\r\n", "GET /a HTTP/1.1\r\naccept: a:b\r\nHOST: h\r\n\r\n"
	for name, rest := range map[string]string{
		"no body":                   "\r\n",
		"lines that end in LF":      "\n",
		"an empty body":             "Content-Length: 0\r\n\r\n",
		"a body":                    "content-length:  9\r\n\r\nA: b\r\n\r\nC",
		"a folded field":            "X: y\r\n Content-Length: 7\r\n\r\n",
		"chunks":                    "Transfer-Encoding: chunked\r\n\r\n6\r\nA: b\r\n\r\n0\r\n\r\n",
		"chunks with extensions":    "Transfer-Encoding: chunked\r\n\r\n5;a=1f\r\nA: b\n\r\n1E ; b\r\n" + strings.Repeat("\n", 30) + "\r\n0\r\n\r\n",
		"chunks and a trailer":      "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nContent-Length: 9\r\nX: y\r\n\r\n",
		"chunks beside a length":    "Content-Length: 900\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"an empty line behind":      "Content-Length: 1\r\n\r\nx\r\n",
		"names longer than is kept": strings.Repeat("X-"+strings.Repeat("a", 100)+": 1\r\n", 50) + "\r\n",
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			heads := headersOf(first+rest+second, size)
			if len(heads) != 2 || string(heads[1].names) != "accept\nHOST\n" || !strings.HasPrefix(string(heads[0].names), "Host\nX-Api-Key\n") {
				t.Errorf("%s, pieces of %d: %q", name, size, heads)
			}
		}
	}
}

func TestScannerGivesUp(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	for name, text := range map[string]string{
		"no length":          "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
		"a huge length":      "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"no field":           "GET / HTTP/1.1\r\nHost\r\n\r\n",
		"a huge chunk":       "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
		"nothing of a chunk": "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		if heads := headersOf(text+get, 5); len(heads) > 1 {
			t.Errorf("%s: %q", name, heads)
		}
	}
	var s scanner
	if _, known := s.next(); known {
		t.Error("a header is known that was not read")
	}
	s.scan([]byte(get))
	if _, known := s.next(); known {
		t.Error("the scanner goes on, though a handler was ahead of it")
	}
}

func TestMisframed(t *testing.T) {
	for text, want := range map[string]bool{
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx":                                       false,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                      false,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\ncontent-LENGTH: 1\r\n\r\n0\r\n\r\n": true,
		"POST / HTTP/1.0\r\nContent-Length: 1\r\nTRANSFER-encoding: chunked\r\n\r\nx":                    true,
		"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx":                                                  false,
	} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		if heads := headersOf(text, 1); len(heads) != 1 || heads[0].misframed(r) != want {
			t.Errorf("%q: %v, want %t", text, heads, want)
		}
	}
}

// FuzzScanner: how the bytes are cut never matters, and where net/http finds a request, its header
// is there, too.
func FuzzScanner(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 3)
	f.Add("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}GET /a HTTP/1.1\r\nHost: h\r\nB: 1\r\n\r\n", 1)
	f.Add("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\nHost: h\n\n", 5)
	f.Fuzz(func(t *testing.T, text string, size int) {
		heads, pieces := headersOf(text, 1), headersOf(text, size%100)
		if !slices.EqualFunc(heads, pieces, func(a, b header) bool { return string(a.names) == string(b.names) }) {
			t.Fatalf("%q, in pieces %q", heads, pieces)
		}
		wire := bufio.NewReader(strings.NewReader(text))
		for i := 0; ; i++ {
			r, err := http.ReadRequest(wire)
			if err != nil || r.ProtoMajor != 1 || !r.ProtoAtLeast(1, 1) {
				return // the connection ends
			}
			if i >= len(heads) {
				t.Fatalf("request %d is not known", i)
			}
			fields := 2 // Host and a framing field are not in the header
			for _, values := range r.Header {
				fields += len(values)
			}
			if n := strings.Count(string(heads[i].names), "\n"); n < len(r.Header) && n < 20 || n > fields+2 {
				t.Fatalf("request %d has %d names in %q, net/http has %d", i, n, heads[i].names, len(r.Header))
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
	})
}
