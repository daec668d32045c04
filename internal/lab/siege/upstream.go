package siege

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"oauth-proxyd/internal/lab/labapi"
)

// The responses that a request can ask the upstream for with the query "fate". Without one it gets
// a short message.
const (
	fateStream  = "stream"   // an event every streamInterval until the client leaves
	fateFlood   = "flood"    // large events as fast as they are taken
	fateSilent  = "silent"   // the body is read, and no response comes
	fateDeaf    = "deaf"     // not even the body is read
	fateLargeID = "large-id" // a Request-Id of largeID bytes
	fateFill    = "fill"     // a body of as many bytes as the query "bytes" says
)

const (
	streamInterval = 50 * time.Millisecond
	largeID        = 9 << 20
	// maxStreams is the HTTP/2 stream limit of a connection.
	maxStreams = 128
	// maxResets is how many streams a connection may reset within a second before the upstream
	// closes it, as servers do since CVE-2023-44487.
	maxResets = 200
)

// upstream speaks HTTP/2 over TLS and protects itself against rapid resets.
type upstream struct {
	url     string
	plain   string // address of the same without TLS, for the bystanders' own measure
	servers []*http.Server
	serving sync.WaitGroup

	mu     sync.Mutex
	closed int // connections that were closed for their resets
}

// startUpstream serves until close. The certificate to trust goes into file.
func startUpstream(file string) (*upstream, error) {
	certificate, trusted, err := labapi.NewCertificate()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, trusted, 0o600); err != nil {
		return nil, err
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, secure.Close())
	}
	u := &upstream{url: "https://" + secure.Addr().String(), plain: plain.Addr().String()}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	u.serve(config, func(s *http.Server) error { return s.ServeTLS(secure, "", "") })
	u.serve(nil, func(s *http.Server) error { return s.Serve(plain) })
	return u, nil
}

func (u *upstream) serve(config *tls.Config, serve func(*http.Server) error) {
	server := &http.Server{
		Handler:           u,
		TLSConfig:         config,
		ReadHeaderTimeout: patience,
		ErrorLog:          log.New(io.Discard, "", 0), // attacks break connections
		// The window of the connection is larger than those of all streams, so that a stream that
		// is not read stops no other.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: 16 << 10, MaxReceiveBufferPerConnection: 4<<20 - 1,
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, resetsKey{}, &resets{conn: c, upstream: u})
		},
	}
	u.servers = append(u.servers, server)
	u.serving.Go(func() { _ = serve(server) })
}

func (u *upstream) close() {
	for _, s := range u.servers {
		_ = s.Close() // nobody is served any more
	}
	u.serving.Wait()
}

// closedForResets is how many connections were closed for the resets on them.
func (u *upstream) closedForResets() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}

// ServeHTTP responds as the query asks.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fate := r.URL.Query().Get("fate")
	if fate == fateDeaf {
		waitForClient(r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body) // a client that breaks it off gets no response
	switch fate {
	case fateStream:
		streamEvents(w, r, 200, streamInterval)
	case fateFlood:
		streamEvents(w, r, 64<<10, 0)
	case fateSilent:
		waitForClient(r)
	case fateLargeID:
		w.Header().Set("Request-Id", strings.Repeat("r", largeID))
	case fateFill:
		n, _ := strconv.Atoi(r.URL.Query().Get("bytes"))
		_, _ = w.Write(make([]byte, n))
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"type":"message","content":[]}`)
	}
}

// waitForClient returns when the client is gone, and counts that as a reset.
func waitForClient(r *http.Request) {
	<-r.Context().Done()
	if counter, ok := r.Context().Value(resetsKey{}).(*resets); ok {
		counter.add(time.Now())
	}
}

func streamEvents(w http.ResponseWriter, r *http.Request, size int, interval time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	event := "event: ping\ndata: " + strings.Repeat("x", size) + "\n\n"
	rc := http.NewResponseController(w)
	ticker := time.NewTicker(max(interval, 1))
	defer ticker.Stop()
	for {
		if _, err := io.WriteString(w, event); err != nil || rc.Flush() != nil {
			return
		}
		if interval == 0 {
			continue
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}

type resetsKey struct{}

// resets counts the streams of a connection that its peer reset.
type resets struct {
	conn     net.Conn
	upstream *upstream

	mu    sync.Mutex
	since time.Time
	count int
}

// add counts one more reset, and closes the connection after too many in a second.
func (r *resets) add(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.since) > time.Second {
		r.since, r.count = now, 0
	}
	if r.count++; r.count != maxResets+1 {
		return
	}
	r.upstream.mu.Lock()
	r.upstream.closed++
	r.upstream.mu.Unlock()
	_ = r.conn.Close() // it is given up
}
