package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"oauth-proxyd/internal/lab/bench/rig"
)

// Upload sends one large body, and Download receives one. The proxy's processor time is divided by
// the megabytes (of 10^6 bytes). One transfer goes before, so that connections are there.
func (s stage) Upload(ctx context.Context) (Values, error) {
	return s.bulk(ctx, func(c *rig.Client, size int64) error {
		if _, err := c.Write(rig.RequestHead("/v1/messages?beta=true", size)); err != nil {
			return err
		}
		if _, err := io.Copy(c, io.LimitReader(zeros{}, size)); err != nil {
			return err
		}
		response, err := c.Receive()
		return finish(response, err, rig.ResponseSize)
	})
}

// Download is explained at Upload.
func (s stage) Download(ctx context.Context) (Values, error) {
	return s.bulk(ctx, func(c *rig.Client, size int64) error {
		response, err := c.Send(rig.Request(bulkPath(size)))
		return finish(response, err, size)
	})
}

func bulkPath(size int64) string { return fmt.Sprintf("/v1/bulk?bytes=%d", size) }

func (s stage) bulk(ctx context.Context, transfer func(*rig.Client, int64) error) (Values, error) {
	peer, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	defer peer.close()
	client, err := rig.Dial(ctx, peer.address)
	if err != nil {
		return nil, s.failed("connecting", err)
	}
	defer client.Close() //nolint:errcheck // nothing is to come
	defer context.AfterFunc(ctx, func() { _ = client.SetDeadline(time.Unix(1, 0)) })()
	if err := transfer(client, s.pace.Bulk); err != nil {
		return nil, s.failed("warming up", err)
	}
	before, err := peer.read()
	if err != nil {
		return nil, s.failed("reading counters", err)
	}
	var moved int64
	for time.Since(before.at) < s.pace.Window {
		if err := transfer(client, s.pace.Bulk); err != nil {
			return nil, s.failed("transferring", err)
		}
		moved += s.pace.Bulk
	}
	after, err := peer.read()
	if err != nil {
		return nil, s.failed("reading counters", err)
	}
	memory, err := rig.PSS(peer.PID)
	if err != nil {
		return nil, s.failed("reading its memory", err)
	}
	megabytes := float64(moved) / 1e6
	return Values{
		CPUPerMB:    float64((after.cpu - before.cpu).Microseconds()) / megabytes,
		MBPerS:      megabytes / after.at.Sub(before.at).Seconds(),
		MemoryTotal: float64(memory),
	}, nil
}

// finish reads a response whole.
func finish(response *http.Response, err error, size int64) error {
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && n != size {
		err = fmt.Errorf("the response has %d bytes of %d", n, size)
	}
	return err
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
