package tailnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"tailscale.com/client/local"
)

// maxResponse is what is read of one response at most. A status has a few kB and one more for each
// peer; a bus that ends there is opened again.
const maxResponse = 64 << 20

// newLocal returns Tailscale's client without its habits of starting processes and keeping idle
// connections. headerTimeout is for the bus, whose requests have no deadline of their own.
func newLocal(socket string, headerTimeout time.Duration) *local.Client {
	return &local.Client{
		Socket:        socket,
		UseSocketOnly: true,
		OmitAuth:      true,
		Transport: limitedTransport{&http.Transport{
			DialContext:           dialer(socket),
			DisableKeepAlives:     true,
			DisableCompression:    true,
			ResponseHeaderTimeout: headerTimeout,
		}},
	}
}

// limitedTransport cuts responses at maxResponse.
type limitedTransport struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t limitedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxResponse), res.Body}
	return res, nil
}

// dialError is a socket that could not be reached. It hides the *net.OpError from a type assertion
// on purpose: at the sight of one, local.Client runs `systemctl show tailscaled.service` to improve
// its message, at each attempt.
type dialError struct{ err error }

// Error implements error.
func (e *dialError) Error() string { return e.err.Error() }

// Unwrap returns the error.
func (e *dialError) Unwrap() error { return e.err }

func dialer(socket string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, &dialError{err}
		}
		return conn, nil
	}
}

// dialFailure returns the failed dial in err, or nil if the socket was reached.
func dialFailure(err error) error {
	if failure, ok := errors.AsType[*dialError](err); ok {
		return failure
	}
	return nil
}

// isAbsent reports whether a dial shows that no tailscaled listens: its socket is not there, or was
// left behind by one that was killed.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// explain says in the operator's words what went wrong on a socket that was reached.
func (c *Client) explain(err error) error {
	if isTimeout(err) {
		return fmt.Errorf("no response on %s within %v: %w", c.socket, c.cfg.AttemptTimeout, context.DeadlineExceeded)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the invented URL of the local API
	}
	return fmt.Errorf("asking %s: %w", c.socket, &foreignError{err})
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
