package rig

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// Notify is systemd's end of sd_notify(3).
type Notify struct {
	Path string
	conn *net.UnixConn
}

// NewNotify listens at path.
func NewNotify(path string) (*Notify, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &Notify{Path: path, conn: conn}, nil
}

// Close ends it.
func (n *Notify) Close() { _ = n.conn.Close() }

// Await reads messages until one has a line with this prefix, and returns the rest of the line.
func (n *Notify) Await(ctx context.Context, prefix string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found := ""
	err := n.Follow(ctx, func(line string) bool {
		rest, ok := strings.CutPrefix(line, prefix)
		found = rest
		return !ok
	})
	if err != nil {
		return "", fmt.Errorf("waiting for %s: %w", prefix, err)
	}
	return found, nil
}

// Follow hands over each line, until it is told false or ctx ends.
func (n *Notify) Follow(ctx context.Context, each func(line string) (more bool)) error {
	_ = n.conn.SetReadDeadline(time.Time{}) // a socket has one
	defer context.AfterFunc(ctx, func() { _ = n.conn.SetReadDeadline(time.Unix(1, 0)) })()
	message := make([]byte, 4<<10)
	for {
		size, err := n.conn.Read(message)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		for line := range strings.SplitSeq(string(message[:size]), "\n") {
			if !each(line) {
				return nil
			}
		}
	}
}
