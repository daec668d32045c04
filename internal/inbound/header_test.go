package inbound

import (
	"bufio"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// headerOf is that of a request whose text comes in pieces of that size.
func headerOf(text string, size int) header {
	var h headerReader
	for piece := range slices.Chunk([]byte(text), max(1, size)) {
		h.add(piece, false)
	}
	return h.next()
}

func TestHeaderNamesAsWritten(t *testing.T) {
	for name, text := range map[string]string{
		"a header":               "POST / HTTP/1.1\r\nHost: h\r\nX-api-KEY: k\r\n\r\n",
		"lines that end in LF":   "POST / HTTP/1.1\nHost: h\nX-api-KEY: k\n\n",
		"a body":                 "POST / HTTP/1.1\r\nHost: h\r\nX-api-KEY: k\r\n\r\nA: b\r\n\r\nC",
		"a folded field":         "POST / HTTP/1.1\r\nHost: h\r\nX-api-KEY: k\r\n Content-Length: 7\r\n\r\n",
		"an empty line before":   "\r\nPOST / HTTP/1.1\r\nHost: h\r\nX-api-KEY: k\r\n\r\n",
		"without a first letter": "OST / HTTP/1.1\r\nHost: h\r\nX-api-KEY: k\r\n\r\n",
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			h := headerOf(text, size)
			if !h.whole || string(h.names) != "Host\nX-api-KEY\n" || h.lengths != 0 {
				t.Errorf("%s, pieces of %d: %q, %d lengths, known %t", name, size, h.names, h.lengths, h.whole)
			}
		}
	}
}

func TestHeaderIsBounded(t *testing.T) {
	field := "X-" + strings.Repeat("a", 100) + ": 1\r\n"
	h := headerOf("GET / HTTP/1.1\r\n"+strings.Repeat(field, 500)+"\r\n", 4096)
	if !h.whole || len(h.names) > maxNames {
		t.Errorf("%d bytes of names, known %t", len(h.names), h.whole)
	}
	for _, text := range []string{"", "GET / HTTP/1.1\r\nHost: h\r\n"} {
		if headerOf(text, 10).whole {
			t.Errorf("the header in %q is known", text)
		}
	}
}

// A body is no header, whatever it contains. The next header begins when the request has ended, or
// with the single byte that net/http reads while it is served.
func TestHeaderAfterABody(t *testing.T) {
	for _, single := range []bool{false, true} {
		var h headerReader
		h.add([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 23\r\n\r\n"), false)
		if !h.pending() {
			t.Error("the first header is not pending")
		}
		if !h.next().whole {
			t.Error("the first header is not known")
		}
		h.add([]byte("GET / HTTP/1.1\r\nA: b\r\n\r\n"), false)
		if h.pending() {
			t.Error("a body is taken for a header")
		}
		rest := "GET / HTTP/1.1\r\nC: d\r\n\r\n"
		if single {
			h.add([]byte(rest[:1]), true)
			rest = rest[1:]
		}
		h.idle()
		h.add([]byte(rest), false)
		if second := h.next(); !second.whole || string(second.names) != "C\n" {
			t.Errorf("the second header: %q, known %t", second.names, second.whole)
		}
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
		if h := headerOf(text, 1); !h.whole || h.misframed(r) != want {
			t.Errorf("%q: known %t, want %t", text, h.whole, want)
		}
	}
}

// FuzzHeader: where net/http finds a request, its header is known, with as many names.
func FuzzHeader(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n")
	f.Add("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
	f.Add("POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n1;a\r\nx\r\n0\r\nT: 1\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil || r.ProtoMajor != 1 || len(text) > maxNames {
			return
		}
		h := headerOf(text, 1)
		fields := 3 // Host and the framing fields may not be in r.Header
		for _, values := range r.Header {
			fields += len(values)
		}
		if n := strings.Count(string(h.names), "\n"); !h.whole || n < len(r.Header) || n > fields {
			t.Fatalf("known %t, %d names in %q, net/http has %d", h.whole, n, h.names, len(r.Header))
		}
	})
}
