package inbound

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// headersOf are those of the requests in text, which comes in pieces of that size. It says whether
// the scanner gave up after them.
func headersOf(text string, size int) (heads []header, lost bool) {
	var s scanner
	for piece := range slices.Chunk([]byte(text), max(1, size)) {
		s.scan(piece)
	}
	return s.heads, s.at == atLost
}

func TestScannerFindsEachHeader(t *testing.T) {
	const first, second = "POST / HTTP/1.1\r\nHost: h\r\nX-Api-Key: k\r\n", "GET /a HTTP/1.1\r\naccept: a:b\r\nHOST: h\r\ncontent-LENGTH:7\r\n\r\n"
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
		"lines longer than is kept": strings.Repeat("X-"+strings.Repeat("a", 100)+": 1\r\n", 50) + "\r\n",
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			heads, lost := headersOf(first+rest+second, size)
			if lost || len(heads) != 2 || heads[1] != (header{length: 7}) {
				t.Errorf("%s, pieces of %d: %v, %t", name, size, heads, lost)
			}
		}
	}
}

func TestScannerGivesUp(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	for name, text := range map[string]string{
		"no length":          "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
		"a huge length":      "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"a padded length":    "POST / HTTP/1.1\r\nContent-Length:" + strings.Repeat(" ", 48) + "27\r\n\r\n",
		"a folded length":    "POST / HTTP/1.1\r\nContent-Length:\r\n 27\r\n\r\n",
		"no field":           "GET / HTTP/1.1\r\nHost\r\n\r\n",
		"a huge chunk":       "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
		"nothing of a chunk": "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		if heads, lost := headersOf(text+get, 5); len(heads) > 1 || !lost {
			t.Errorf("%s: %v, %t", name, heads, lost)
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
		if heads, _ := headersOf(text, 1); len(heads) != 1 || heads[0].misframed(r) != want {
			t.Errorf("%q: %v, want %t", text, heads, want)
		}
	}
}

// FuzzScanner: how the bytes are cut never matters, and where net/http finds a request, its header
// is there, too, unless the scanner gave up.
func FuzzScanner(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 3)
	f.Add("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}GET /a HTTP/1.1\r\nHost: h\r\nB: 1\r\n\r\n", 1)
	f.Add("POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n 27\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 9)
	f.Add("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\nHost: h\n\n", 5)
	f.Fuzz(func(t *testing.T, text string, size int) {
		heads, lost := headersOf(text, 1)
		if pieces, _ := headersOf(text, size%100); !slices.Equal(heads, pieces) {
			t.Fatalf("%v, in pieces %v", heads, pieces)
		}
		wire := bufio.NewReader(strings.NewReader(text))
		for i := 0; ; i++ {
			r, err := http.ReadRequest(wire)
			if err != nil || r.ProtoMajor != 1 || !r.ProtoAtLeast(1, 1) {
				return // the connection ends
			}
			if i >= len(heads) {
				if !lost {
					t.Fatalf("request %d is not known", i)
				}
				return // as the connection does
			}
			if coded := len(r.TransferEncoding) > 0; heads[i].coded != coded || !coded && max(0, heads[i].length) != r.ContentLength {
				t.Fatalf("request %d: %v, net/http has %v and %d", i, heads[i], r.TransferEncoding, r.ContentLength)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
	})
}
