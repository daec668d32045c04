package proxy_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// forEachDoor runs a test with a client of a door in front of an upstream of each protocol.
func forEachDoor(t *testing.T, h http.HandlerFunc, test func(*testing.T, *door, *http.Client)) {
	forEachProtocol(t, h, func(t *testing.T, up *mockAPI) { test(t, openDoor(t, up), newClient(t)) })
}

// The upstream sends an event only after the client has confirmed the one before.
func TestEventsArriveOneByOne(t *testing.T) {
	confirmed := make(chan struct{})
	events := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(w)
		for i := range 20 {
			fmt.Fprintf(w, "event: e\ndata: %d\n\n", i)
			_ = rc.Flush()
			<-confirmed
		}
	}
	forEachDoor(t, events, func(t *testing.T, d *door, c *http.Client) {
		response, err := c.Do(request(t, "POST", d.url("/"), strings.NewReader("{}")))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		in := bufio.NewReader(response.Body)
		for i := range 20 {
			var event strings.Builder
			for range 3 {
				line, err := in.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				event.WriteString(line)
			}
			if want := fmt.Sprintf("event: e\ndata: %d\n\n", i); event.String() != want {
				t.Fatalf("got %q, want %q", event.String(), want)
			}
			confirmed <- struct{}{}
		}
		if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
			t.Errorf("after the last event %q, %v", rest, err)
		}
	})
}

// Chunks of our own follow those that net/http wrote. This fails if net/http keeps something back
// after a flush, or counts what it wrote.
func TestChunksFollowThoseOfNetHTTP(t *testing.T) {
	sizes := []int{1, 15, 16, 2047, 2048, 2049, 4096, 40_000, 7, 100_000, 300}
	next := make(chan struct{})
	pieces := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		for _, size := range sizes {
			_, _ = w.Write(bytes.Repeat([]byte{'a' + byte(size%26)}, size))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
		w.Header().Set("X-Sum", "1")
	}
	forEachProtocol(t, pieces, func(t *testing.T, up *mockAPI) {
		client := openDoor(t, up).dial(t)
		defer client.Close()
		for range 2 { // on one connection
			client.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			response, err := http.ReadResponse(client.in, nil)
			if err != nil || response.ContentLength >= 0 {
				t.Fatalf("%v, %v", response, err)
			}
			for _, size := range sizes {
				got := make([]byte, size)
				if _, err := io.ReadFull(response.Body, got); err != nil || bytes.Count(got, []byte{'a' + byte(size%26)}) != size {
					t.Fatalf("piece of %d bytes: %.20q, %v", size, got, err)
				}
				next <- struct{}{}
			}
			if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 || response.Trailer.Get("X-Sum") != "1" {
				t.Fatalf("at the end %q, %v, trailer %v", rest, err, response.Trailer)
			}
		}
	})
}

// The header comes before anything of the body does.
func TestResponseHeaderArrivesAlone(t *testing.T) {
	leave := make(chan struct{})
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short" {
			w.Header().Set("Content-Length", "2")
		}
		_ = http.NewResponseController(w).Flush()
		<-leave
	}
	forEachDoor(t, h, func(t *testing.T, d *door, c *http.Client) {
		for _, path := range []string{"/", "/short"} {
			response, err := c.Do(request(t, "GET", d.url(path), nil))
			if err != nil {
				t.Fatal(err)
			}
			leave <- struct{}{}
			_ = response.Body.Close()
		}
	})
}

// Each piece of the request is responded before the next one is sent.
func TestFullDuplex(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		_ = rc.Flush()
		buffer := make([]byte, 100)
		for {
			n, err := r.Body.Read(buffer)
			_, _ = w.Write(buffer[:n])
			_ = rc.Flush()
			if err != nil {
				return
			}
		}
	}
	forEachDoor(t, echo, func(t *testing.T, d *door, c *http.Client) {
		in, out := io.Pipe()
		response, err := c.Do(request(t, "POST", d.url("/"), in))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		buffer := make([]byte, 10)
		for i := range 20 {
			piece := fmt.Sprintf("piece %04d", i)
			if _, err := io.WriteString(out, piece); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(response.Body, buffer); err != nil || string(buffer) != piece {
				t.Fatalf("got %q, %v, want %q", buffer, err, piece)
			}
		}
		_ = out.Close()
		if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
			t.Errorf("after the last piece %q, %v", rest, err)
		}
	})
}

// An upstream may response without reading: the client gets that response, whole.
func TestResponseBeforeLargeBody(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // net/http will close it, but does not say so on its own
		}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too large")
	}
	forEachDoor(t, refuse, func(t *testing.T, d *door, c *http.Client) {
		for range 20 {
			body := bytes.NewReader(make([]byte, 2<<20))
			response, text := do(t, c, request(t, "POST", d.url("/"), body))
			if response.StatusCode != http.StatusRequestEntityTooLarge || text != "too large" {
				t.Fatalf("status %d, body %q", response.StatusCode, text)
			}
		}
	})
}

// The end of an early response does not wait for a client that sends nothing more.
func TestEarlyResponseEndsAtOnce(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusUnauthorized)
		_ = http.NewResponseController(w).Flush() // chunks: the end is not known before it comes
		_, _ = io.WriteString(w, "no")
	}
	forEachBubble(t, refuse, func(t *testing.T, b *bubble) {
		conn, start := b.from(t, "127.0.0.1:1000"), time.Now()
		conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nsome of it")
		response, body := conn.response(t, "POST")
		if took := time.Since(start); took > 50*time.Millisecond { // that long, net/http waits for the rest to be sent
			t.Errorf("the response took %v", took)
		}
		if response.StatusCode != 401 || body != "no" || !response.Close {
			t.Errorf("status %d, body %q, close %v", response.StatusCode, body, response.Close)
		}
	})
}

func TestCompressedBodiesAreNotTouched(t *testing.T) {
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	fmt.Fprint(z, strings.Repeat("data: x\n\n", 1000))
	_ = z.Close()
	h := func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		if r.Header.Get("Content-Encoding") != "gzip" || !bytes.Equal(sent, compressed.Bytes()) {
			w.WriteHeader(http.StatusBadRequest)
		}
		w.Header().Set("Content-Encoding", r.URL.Query().Get("coding"))
		_, _ = w.Write(compressed.Bytes())
	}
	forEachDoor(t, h, func(t *testing.T, d *door, c *http.Client) {
		for _, coding := range []string{"gzip", "br", "zstd", "made-up"} {
			r := request(t, "POST", d.url("/?coding="+coding), bytes.NewReader(compressed.Bytes()))
			r.Header.Set("Content-Encoding", "gzip")
			response, body := do(t, c, r)
			if response.StatusCode != 200 || response.Header.Get("Content-Encoding") != coding || body != compressed.String() {
				t.Errorf("%s: status %d, coding %q, %d bytes", coding, response.StatusCode, response.Header.Get("Content-Encoding"), len(body))
			}
		}
	})
}

func TestTrailersBothWays(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
		w.Header().Set("X-Announced", "got "+r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "late")
		for name := range r.Trailer {
			w.Header().Add(http.TrailerPrefix+"X-Names", name)
		}
	}
	forEachDoor(t, h, func(t *testing.T, d *door, c *http.Client) {
		r := request(t, "POST", d.url("/"), io.MultiReader(strings.NewReader("body")))
		r.Header.Set("Te", "trailers")
		r.Trailer = http.Header{"X-Sum": {"1"}, "X-Forwarded-For": {"1.2.3.4"}, "X-Claude-Gateway-User-Email": {"a@example.com"}}
		response, body := do(t, c, r)
		got := response.Trailer
		if body != "body" || got.Get("X-Announced") != "got 1" || got.Get("X-Late") != "late" {
			t.Errorf("body %q, trailers %q", body, got)
		}
		if names := strings.Join(got["X-Names"], ","); names != "X-Sum" {
			t.Errorf("the upstream saw trailers %s, want only X-Sum", names)
		}
	})
}

// Fields about one connection are not passed on as trailers, announced or not.
func TestTrailersOfAConnectionStayThere(t *testing.T) {
	const kept = "Keep-Alive: timeout=1\r\nProxy-Authenticate: Basic\r\nX-Sum: 1\r\n"
	saw := make(chan http.Header, 1)
	up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		if r, _ := readRequest(in); r != nil {
			saw <- r.Trailer
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTrailer: Keep-Alive, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"+kept+"\r\n")
		}
	})
	conn := openDoor(t, up).dial(t)
	conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: Keep-Alive, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"+kept+"\r\n")
	response, err := http.ReadResponse(conn.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	announced := fmt.Sprint(slices.Sorted(maps.Keys(response.Trailer)))
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	want := "map[X-Sum:[1]]"
	if got := fmt.Sprint(response.Trailer); got != want || announced != "[X-Sum]" {
		t.Errorf("the client is told of %s and gets %s", announced, got)
	}
	if got := fmt.Sprint(receive(t, saw, "the request")); got != want {
		t.Errorf("the upstream gets %s", got)
	}
}

func TestTrailersThatWereNotAnnounced(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%q", r.Trailer)
	}
	forEachProtocol(t, h, func(t *testing.T, up *mockAPI) {
		conn := openDoor(t, up).dial(t)
		conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nTailscale-User-Login: a\r\nContent-Length: 5\r\n\r\n")
		_, body := conn.response(t, "POST")
		if want := `map["X-Sum":["1"]]`; up.url.Scheme == "http" && body != want { // over HTTP/2 Go's server wants an announcement
			t.Errorf("the upstream saw %s, want %s", body, want)
		}
	})
}

// A body of unknown length is passed on as one, whatever the method and however late it begins.
func TestHeaderDoesNotWaitForBody(t *testing.T) {
	begun := make(chan time.Time, 1)
	h := func(w http.ResponseWriter, r *http.Request) {
		begun <- time.Now()
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", body, r.Trailer.Get("X-Sum"))
	}
	forEachBubble(t, h, func(t *testing.T, b *bubble) {
		for _, method := range []string{"GET", "DELETE", "OPTIONS"} {
			conn, start := b.from(t, "127.0.0.1:1000"), time.Now()
			conn.send(t, method+" / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
			if took := receive(t, begun, "the header").Sub(start); took > 0 {
				t.Errorf("%s: the header took %v", method, took)
			}
			conn.send(t, "0\r\nX-Sum: 1\r\n\r\n")
			if _, body := conn.response(t, method); body != " 1" {
				t.Errorf("%s: got %q", method, body)
			}
		}
	})
}

func TestInformationalResponsesPass(t *testing.T) {
	h := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Link", "</b>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("X-Final", "1")
		w.WriteHeader(http.StatusTeapot)
	}
	forEachProtocol(t, h, func(t *testing.T, up *mockAPI) {
		conn := openDoor(t, up).dial(t)
		// Both lengths: the final response closes the connection, the hints do not say so.
		conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		for _, link := range []string{"</a>; rel=preload", "</b>; rel=preload"} {
			hint, err := http.ReadResponse(conn.in, nil)
			if err != nil || hint.StatusCode != http.StatusEarlyHints || hint.Header.Get("Link") != link || len(hint.Header) != 1 || hint.Close {
				t.Fatalf("got %v, %v, want a 103 with %s", hint, err, link)
			}
		}
		response, _ := conn.response(t, "GET")
		if response.StatusCode != http.StatusTeapot || response.Header.Get("Link") != "" || response.Header.Get("X-Final") != "1" || !response.Close {
			t.Errorf("got %d %v", response.StatusCode, response.Header)
		}
	})
}
