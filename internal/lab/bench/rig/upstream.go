package rig

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/lab/labapi"
)

// ServerName is what the upstream's certificate is for, beside 127.0.0.1: nginx and HAProxy check
// no addresses.
const ServerName = "localhost"

const (
	// RequestSize and ResponseSize are of the bodies of a request without a stream.
	RequestSize  = 1 << 10
	ResponseSize = 2 << 10
	// EventSize is of one event of a stream, with the empty line that ends it.
	EventSize = 200
	// StreamsPerConnection is how many streams of HTTP/2 large services allow.
	StreamsPerConnection = 128
)

// Upstream is what the proxies forward to: HTTP/1.1 at one address; HTTP/2, or HTTP/1.1 for who
// does not ask for that, over TLS at another.
type Upstream struct {
	Plain, TLS string // host:port
	Authority  string // file with the certificate to trust

	interval atomic.Int64 // between two events of a stream
	protocol atomic.Value // string: of the latest request
	streams  atomic.Int64 // open now
	servers  []*http.Server
	serving  sync.WaitGroup
}

// StartUpstream serves until Close, and takes so many streams on a connection. The certificate goes
// into dir.
func StartUpstream(dir string, streams int) (*Upstream, error) {
	u := &Upstream{Authority: filepath.Join(dir, "authority.pem")}
	u.interval.Store(int64(100 * time.Millisecond))
	certificate, trusted, err := labapi.NewCertificate()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(u.Authority, trusted, 0o644); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", u.respond)
	mux.HandleFunc("POST /v1/bulk", u.bulk)
	mux.HandleFunc("POST /v1/stream", u.stream)
	plain, err := listen()
	if err != nil {
		return nil, err
	}
	secure, err := listen()
	if err != nil {
		return nil, err
	}
	u.Plain, u.TLS = plain.Addr().String(), secure.Addr().String()
	u.serve(mux, streams, nil, func(s *http.Server) error { return s.Serve(plain) })
	u.serve(mux, streams, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		func(s *http.Server) error { return s.ServeTLS(secure, "", "") })
	return u, nil
}

// serve needs a server for each listener: one that began without TLS has no HTTP/2 with it.
func (u *Upstream) serve(h http.Handler, streams int, config *tls.Config, serve func(*http.Server) error) {
	server := &http.Server{
		Handler: h, TLSConfig: config, ReadHeaderTimeout: patience,
		ErrorLog: log.New(io.Discard, "", 0), // a proxy that is stopped breaks connections
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: streams},
	}
	u.servers = append(u.servers, server)
	u.serving.Go(func() { _ = serve(server) })
}

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// Close ends all streams.
func (u *Upstream) Close() {
	for _, s := range u.servers {
		_ = s.Close() // it serves nobody any more
	}
	u.serving.Wait()
}

// Pace sets how long a stream is silent between two events.
func (u *Upstream) Pace(interval time.Duration) { u.interval.Store(int64(interval)) }

// Protocol is that of the latest request.
func (u *Upstream) Protocol() string {
	protocol, _ := u.protocol.Load().(string)
	return protocol
}

// Streams is how many are open.
func (u *Upstream) Streams() int { return int(u.streams.Load()) }

func (u *Upstream) respond(w http.ResponseWriter, r *http.Request) {
	u.protocol.Store(r.Proto)
	_, _ = io.Copy(io.Discard, r.Body) // a client that does not send it all gets no response either way
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Request-Id", "req_011CSHoEeqs5C35K2UUqR7Fy")
	w.Header().Set("Content-Length", strconv.Itoa(ResponseSize))
	_, _ = w.Write(make([]byte, ResponseSize))
}

// bulk responds with as many bytes as the query "bytes" asks for, as fast as they are taken.
func (u *Upstream) bulk(w http.ResponseWriter, r *http.Request) {
	u.protocol.Store(r.Proto)
	left, err := strconv.Atoi(r.URL.Query().Get("bytes"))
	if err != nil {
		http.Error(w, "bytes: "+err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body) // likewise
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(left))
	piece := make([]byte, 64<<10)
	for left > 0 && err == nil {
		var n int
		n, err = w.Write(piece[:min(left, len(piece))])
		left -= n
	}
}

// The fates of a stream that a request can ask for with the query "fate".
const (
	FateDie    = "die"    // the upstream breaks it off after the last event
	FateSilent = "silent" // the upstream says nothing after the last event
	FateFlood  = "flood"  // events come as fast as they are taken
)

// stream sends an event at once and one each interval, until the client leaves or the number that
// the query "events" asks for was sent.
func (u *Upstream) stream(w http.ResponseWriter, r *http.Request) {
	u.protocol.Store(r.Proto)
	u.streams.Add(1)
	defer u.streams.Add(-1)
	_, _ = io.Copy(io.Discard, r.Body) // likewise
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	fate := r.URL.Query().Get("fate")
	if !u.sendEvents(w, r, fate == FateFlood) {
		return
	}
	switch fate {
	case FateDie:
		panic(http.ErrAbortHandler)
	case FateSilent:
		<-r.Context().Done()
	}
}

// sendEvents reports whether the client took all.
func (u *Upstream) sendEvents(w http.ResponseWriter, r *http.Request, flood bool) bool {
	last, err := strconv.Atoi(r.URL.Query().Get("events"))
	if err != nil {
		last = -1
	}
	rc := http.NewResponseController(w)
	ticker := time.NewTicker(time.Duration(u.interval.Load()))
	defer ticker.Stop()
	event := make([]byte, 0, EventSize)
	for sent := 0; sent != last; sent++ {
		event = appendEvent(event[:0], time.Now())
		if _, err := w.Write(event); err != nil || rc.Flush() != nil {
			return false
		}
		if flood {
			continue
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return false
		}
	}
	return true
}

const eventData = "event: content_block_delta\ndata: "

// appendEvent makes an event of EventSize that says when it was sent.
func appendEvent(p []byte, sent time.Time) []byte {
	p = append(p, eventData...)
	p = strconv.AppendInt(p, sent.UnixNano(), 10)
	for len(p) < EventSize-2 {
		p = append(p, ' ')
	}
	return append(p, "\n\n"...)
}
