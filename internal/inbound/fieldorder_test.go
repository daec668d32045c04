package inbound

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

// ordersOf are those of the requests in text, which comes in pieces of that size.
func ordersOf(text string, size int) []FieldOrder {
	var s fieldScanner
	var all []FieldOrder
	for text != "" {
		n := min(size, len(text))
		before := s.whole.Load()
		s.scan([]byte(text[:n]))
		if s.whole.Load() > before {
			all = append(all, s.next())
		}
		text = text[n:]
	}
	return all
}

func TestFieldOrderOfEachRequest(t *testing.T) {
	t.Parallel()
	const first = "POST / HTTP/1.1\r\nHost: h\r\nX-Api-Key: k\r\nAccept: a:b\r\n"
	for _, c := range []struct {
		name, second string
		differs      bool
	}{
		{"equal", "POST / HTTP/1.1\r\nHost: h\r\nX-Api-Key: k\r\nAccept: a\r\n", false},
		{"other values", "GET /x HTTP/1.1\r\nHost: hh\r\nX-Api-Key:\r\nAccept: a\r\n", false},
		{"other fields between", "POST / HTTP/1.1\r\nHost: h\r\nTraceparent: 1\r\nX-Api-Key: k\r\nAccept: a\r\nVia: x\r\n", false},
		{"fields of the connection elsewhere", "POST / HTTP/1.1\r\nexpect: 1\r\nHost: h\r\nConnection: close\r\nX-Api-Key: k\r\nAccept: a\r\n", false},
		{"lines that end in LF", "POST / HTTP/1.1\nHost: h\nX-Api-Key: k\nAccept: a\n", false},
		{"another order", "POST / HTTP/1.1\r\nHost: h\r\nAccept: a\r\nX-Api-Key: k\r\n", true},
		{"another spelling", "POST / HTTP/1.1\r\nhost: h\r\nX-Api-Key: k\r\nAccept: a\r\n", true},
		{"one field twice", "POST / HTTP/1.1\r\nHost: h\r\nX-Api-Key: k\r\nAccept: a\r\nAccept: b\r\n", true},
	} {
		for _, body := range []string{"\r\n", "Content-Length: 0\r\n\r\n", "content-length: 37\r\n\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nAccept: a\r\n\r\n"} {
			for _, size := range []int{1, 7} {
				orders := ordersOf(first+body+c.second+"\r\n", size)
				if len(orders) != 2 || orders[0].n != 3 || orders[1].n == 0 {
					t.Fatalf("%s, pieces of %d: %d orders", c.name, size, len(orders))
				}
				if got := orders[0].Differs(&orders[1]); got != c.differs {
					t.Errorf("%s, body %q: differs %t, want %t", c.name, body, got, c.differs)
				}
			}
		}
	}
}

// What is not certain is not known.
func TestFieldOrderThatIsNotKnown(t *testing.T) {
	t.Parallel()
	const get = "GET / HTTP/1.1\r\nHost: h\r\nAccept: a\r\n\r\n"
	for name, text := range map[string]string{
		"behind a chunked body": "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + get,
		"behind two lengths":    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n" + get,
		"behind no length":      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n" + get,
		"behind a huge length":  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n" + get,
		"behind no field":       "GET / HTTP/1.1\r\nHost\r\n\r\n" + get,
		"pipelined":             get + get,
	} {
		var s fieldScanner
		s.scan([]byte(text))
		_ = s.next()
		if last := s.next(); name != "pipelined" && last.n > 0 {
			t.Errorf("%s: %d names", name, last.n)
		}
	}
	var s fieldScanner
	s.scan([]byte(get + get))
	if order := s.next(); order.n > 0 {
		t.Errorf("the first of two that were read at once has %d names", order.n)
	}
}

// FuzzFieldOrder: how the bytes are cut never matters, and where net/http finds a header, it is
// the one that was seen.
func FuzzFieldOrder(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 3)
	f.Add("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}GET /a HTTP/1.1\r\nHost: h\r\nB: 1\r\n\r\n", 1)
	f.Add("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\nHost: h\n\n", 5)
	f.Fuzz(func(t *testing.T, text string, size int) {
		pieces, byByte := ordersOf(text, max(1, size%100)), ordersOf(text, 1)
		for i, order := range pieces {
			if order.n > 0 && (i >= len(byByte) || byByte[i] != order) {
				t.Errorf("order %d differs with the pieces", i)
			}
		}
		wire := bufio.NewReader(strings.NewReader(text))
		for i := range byByte {
			r, err := http.ReadRequest(wire)
			if err != nil {
				return
			}
			if fields := countFields(r.Header); byByte[i].n > fields+2 && byByte[i].n < maxFieldNames {
				t.Errorf("%d names, net/http has %d fields", byByte[i].n, fields)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
	})
}

func countFields(h http.Header) (n int) {
	for _, values := range h {
		n += len(values)
	}
	return n
}
