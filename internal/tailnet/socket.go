package tailnet

import (
	"bytes"
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

// What is read from the socket at most. A status without peers has a few kB, each
// peer adds about one; a line of the bus may hold a whole network map when the daemon
// is old.
const (
	maxAnswer  = 4 << 20
	maxPeers   = 64 << 20 // a status with peers, or a packet filter
	maxBusLine = 32 << 20
	maxHeader  = 64 << 10
)

// newLocal returns Tailscale's client made safe to use against a socket that
// may be anything: it never starts a process, keeps no idle connection, and
// reads no more than the limits above. headerTimeout is for the bus, whose
// requests have no deadline of their own.
func newLocal(socket string, headerTimeout time.Duration) *local.Client {
	transport := &http.Transport{
		DialContext:            dialer(socket),
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		ResponseHeaderTimeout:  headerTimeout,
	}
	return &local.Client{
		Socket:        socket,
		UseSocketOnly: true,
		OmitAuth:      true,
		Transport:     limitedTransport{transport},
	}
}

// dialError is a socket that could not be reached. It hides the *net.OpError
// from a type assertion on purpose: at the sight of one, local.Client runs
// `systemctl show tailscaled.service` to improve its message, at each attempt.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
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

// dialFailure returns the failed dial in err, or nil if the socket was
// reached.
func dialFailure(err error) error {
	if failure, ok := errors.AsType[*dialError](err); ok {
		return failure
	}
	return nil
}

// dialKind tells a host without tailscaled, whose socket file goes with the
// daemon, from one whose daemon was killed or keeps us out.
func dialKind(err error) Kind {
	if errors.Is(err, fs.ErrNotExist) {
		return DaemonAbsent
	}
	return Retryable
}

// IsAbsent reports whether err, of any call, means that no tailscaled runs: its socket
// is not there, or was left behind by one that was killed.
func IsAbsent(err error) bool {
	failure := dialFailure(err)
	return errors.Is(failure, fs.ErrNotExist) || errors.Is(failure, syscall.ECONNREFUSED)
}

// explain says in the operator's words what went wrong on a socket that was
// reached. The text is cut: parts of it are the daemon's.
func (c *Client) explain(err error) error {
	if isTimeout(err) {
		return fmt.Errorf("no answer on %s within %v: %w", c.socket, c.cfg.AttemptTimeout, context.DeadlineExceeded)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the invented URL of the local API
	}
	return fmt.Errorf("asking %s: %w", c.socket, &cutError{err})
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// limitedTransport ends answers that are too long.
type limitedTransport struct{ base *http.Transport }

// RoundTrip is http.RoundTripper's.
func (t limitedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body := &limitedBody{ReadCloser: res.Body, max: maxAnswer}
	switch {
	case req.URL.Path == "/localapi/v0/watch-ipn-bus":
		body.max, body.byLine = maxBusLine, true
	case req.URL.Path == "/localapi/v0/status" && req.URL.RawQuery == "", req.URL.Path == "/localapi/v0/debug-packet-filter-rules":
		body.max = maxPeers
	}
	res.Body = body
	return res, nil
}

// limitedBody fails once more than max bytes came, in all or, if byLine,
// since the last newline. Each call's context ends soon after, which closes
// the connection also where local.Client leaves the body open.
type limitedBody struct {
	io.ReadCloser
	max    int
	byLine bool
	got    int
}

// Read is io.Reader's.
func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.got += n
	if newline := bytes.LastIndexByte(p[:n], '\n'); b.byLine && newline >= 0 {
		b.got = n - newline - 1
	}
	if b.got > b.max {
		return 0, fmt.Errorf("answer longer than %d bytes", b.max)
	}
	return n, err
}
