package systemd

import (
	"bufio"
	"fmt"
	"net"
	"os"
)

// Predecessor is the process that started this one to take over, as long as it runs.
type Predecessor struct {
	channel net.Conn
	reader  *bufio.Reader // of channel
}

// predecessorAt takes over the channel to the old process.
func predecessorAt(fd int) (*Predecessor, error) {
	f := os.NewFile(uintptr(fd), handoverVariable)
	defer f.Close() //nolint:errcheck // the connection has its own
	channel, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("finding the process before this one: %w", err)
	}
	return &Predecessor{channel: channel, reader: bufio.NewReader(channel)}, nil
}

// Next waits for the next message. The error means that the old process has ended, or that Close was
// called.
func (p *Predecessor) Next() (Message, error) { return readMessage(p.reader) }

// Done tells the old process that this one is ready to take over, and that it has done what it was
// asked for. The old process sees an end of this one in any case.
func (p *Predecessor) Done() { _ = writeMessage(p.channel, Message{Done: true}) }

// Fail tells the old process why this one does not take over.
func (p *Predecessor) Fail(why string) { _ = writeMessage(p.channel, Message{Failed: why}) }

// Close ends the conversation.
func (p *Predecessor) Close() { _ = p.channel.Close() }
