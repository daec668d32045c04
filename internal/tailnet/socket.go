package tailnet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"tailscale.com/client/local"
)

// newLocal returns Tailscale's client, set to start no processes and keep no idle connections.
// headerTimeout is for the bus, whose requests have no deadline.
func newLocal(socket string, headerTimeout time.Duration) *local.Client {
	return &local.Client{
		Socket:        socket,
		UseSocketOnly: true,
		OmitAuth:      true,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
				if err != nil {
					return nil, &dialError{err}
				}
				return conn, nil
			},
			DisableKeepAlives:     true,
			DisableCompression:    true,
			ResponseHeaderTimeout: headerTimeout,
		},
	}
}

// dialError says that the socket could not be reached. It hides the *net.OpError from a type
// assertion on purpose: local.Client would run `systemctl show tailscaled.service` at each one, to
// improve its message.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }

func (e *dialError) Unwrap() error { return e.err }

// dialFailure returns the failed dial in err, or nil if the socket was reached.
func dialFailure(err error) error {
	if failure, ok := errors.AsType[*dialError](err); ok {
		return failure
	}
	return nil
}

// isAbsent reports whether a failed dial shows that no tailscaled listens: the socket does not
// exist, or a killed process left it behind.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// explain turns an error on a socket that was reached into one for the operator.
func (c *Client) explain(err error) error {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Errorf("no response on %s within %v: %w", c.socket, c.cfg.AttemptTimeout, context.DeadlineExceeded)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the local API's made-up URL
	}
	return fmt.Errorf("asking %s: %w", c.socket, &foreignError{err})
}
