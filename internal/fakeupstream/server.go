package fakeupstream

import (
	"context"
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

// Server is a running HTTP/1.1 server. Close ends it.
type Server struct {
	url        string
	http       *http.Server
	cancel     context.CancelFunc
	goroutines sync.WaitGroup // the accept loop and one per connection
}

// Start serves api on a free port of 127.0.0.1 until Close. It fails if there is no free port.
func Start(api http.Handler) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening on loopback: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{url: "http://" + l.Addr().String(), cancel: cancel}
	s.http = &http.Server{
		Handler:           api,
		ReadHeaderTimeout: headerTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         s.countConnection,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // clients may break off
	}
	s.goroutines.Go(func() { _ = s.http.Serve(l) }) // it ends with Close
	return s, nil
}

// URL is the base URL without a trailing slash, for example http://127.0.0.1:41234.
func (s *Server) URL() string { return s.url }

// Close stops listening, aborts all requests, and returns when no goroutine of the server is left.
func (s *Server) Close() error {
	s.cancel() // a handler with an unread request body does not notice that its connection closes
	err := s.http.Close()
	s.goroutines.Wait()
	if errors.Is(err, net.ErrClosed) { // it was closed before
		return nil
	}
	return err
}

// countConnection is for http.Server.ConnState. StateNew comes from the accept loop, which is
// counted itself, so the count is above zero then.
func (s *Server) countConnection(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.goroutines.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.goroutines.Done()
	case http.StateActive, http.StateIdle:
	}
}
