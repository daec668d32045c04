package rig

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"
)

// Stream is a stream of events on a connection of its own.
type Stream struct {
	client *Client
	events *bufio.Reader
}

// OpenStream connects and reads the header of the response.
func OpenStream(ctx context.Context, address, path string) (*Stream, error) {
	client, err := Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = client.SetDeadline(deadline) // a connection of TCP has one
	}
	response, err := client.Send(Request(path))
	if err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	return &Stream{client: client, events: bufio.NewReaderSize(response.Body, 2*EventSize)}, nil
}

// Next waits for one event and says when the upstream sent it.
func (s *Stream) Next() (sent time.Time, err error) {
	for {
		line, err := s.events.ReadSlice('\n')
		if err != nil {
			return time.Time{}, err
		}
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			nanoseconds, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
			return time.Unix(0, nanoseconds), err
		}
	}
}

// Close leaves, in the middle of the stream if need be.
func (s *Stream) Close() { _ = s.client.Close() }
