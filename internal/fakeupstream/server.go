package fakeupstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// headerTimeout bounds the reading of a request's header section.
const headerTimeout = 10 * time.Second

// Server is a running upstream. Close ends it.
type Server struct {
	url         string
	certificate []byte
	http        *http.Server
	cancel      context.CancelFunc
	handlers    gate
	goroutines  sync.WaitGroup // the accept loop and one per connection
	serveErr    error          // written before the accept loop is done
}

// Start listens on a free port of 127.0.0.1 and serves there until Close. It
// fails if no port can be had or no certificate can be made.
func Start(cfg Config) (*Server, error) {
	s := &Server{}
	if err := s.build(cfg); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening on loopback: %w", err)
	}
	s.url = "http://" + ln.Addr().String()
	if cfg.TLS {
		s.url = "https://" + ln.Addr().String()
	}
	s.goroutines.Go(func() { s.serve(ln) })
	return s, nil
}

// URL is the base URL without a trailing slash, such as
// http://127.0.0.1:41234, or https:// with TLS.
func (s *Server) URL() string { return s.url }

// CertificatePEM is the certificate that a client must trust, nil without TLS.
func (s *Server) CertificatePEM() []byte { return s.certificate }

// Close stops listening, aborts what is still open, and returns when no
// handler and no goroutine of the server is left. It may be called again.
func (s *Server) Close() error {
	// A handler whose request body is unread learns of a closed connection
	// from its context only.
	s.cancel()
	err := s.http.Close()
	s.goroutines.Wait()
	s.handlers.closeAndWait()
	return errors.Join(err, s.serveErr)
}

// build makes the HTTP server, and a certificate where one is wanted.
func (s *Server) build(cfg Config) error {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http = &http.Server{
		Handler:           s.handlers.guard(Handler(cfg)),
		ReadHeaderTimeout: headerTimeout,
		Protocols:         protocols(cfg),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         s.countConnection,
		// A broken handshake or an aborted connection is what the tests of a
		// proxy are about, not something to print.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	if !cfg.TLS {
		return nil
	}
	cert, pem, err := NewCertificate()
	if err != nil {
		return err
	}
	s.certificate = pem
	s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	return nil
}

// serve is the accept loop.
func (s *Server) serve(ln net.Listener) {
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(ln, "", "")
	} else {
		err = s.http.Serve(ln)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		s.serveErr = fmt.Errorf("serving: %w", err)
	}
}

// countConnection follows http.Server.ConnState: StateNew comes from the
// accept loop, which is counted itself, so the count is above zero then.
func (s *Server) countConnection(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.goroutines.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.goroutines.Done()
	case http.StateActive, http.StateIdle:
	}
}

func protocols(cfg Config) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(cfg.HTTP2 && cfg.TLS)
	p.SetUnencryptedHTTP2(cfg.HTTP2 && !cfg.TLS)
	return p
}
