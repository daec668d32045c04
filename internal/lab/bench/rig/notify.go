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

// Await reads on until a message has a line that begins so, and gives its rest.
func (n *Notify) Await(ctx context.Context, prefix string) (string, error) {
	_ = n.conn.SetReadDeadline(time.Now().Add(patience)) // it can have one
	stop := context.AfterFunc(ctx, func() { _ = n.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	message := make([]byte, 4<<10)
	for {
		size, err := n.conn.Read(message)
		if err != nil {
			return "", fmt.Errorf("waiting for %s: %w", prefix, err)
		}
		for line := range strings.SplitSeq(string(message[:size]), "\n") {
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest, nil
			}
		}
	}
}
