package siege

import (
	"bytes"
	"strings"
	"sync"
)

// bystanderID begins the request id of each request that the lab sends for itself.
const bystanderID = "req_SIEGEBYSTANDER"

// lines counts the lines of the daemon's log, without those about bystanders, and keeps the first
// few.
type lines struct {
	mu      sync.Mutex
	partial []byte
	count   int
	first   []string
}

const (
	keptLines  = 3
	keptLength = 240
)

// Write implements io.Writer for exec.Cmd.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.note(line)
		l.partial = rest
	}
}

func (l *lines) note(line []byte) {
	if bytes.Contains(line, []byte(bystanderID)) {
		return
	}
	l.count++
	if len(l.first) < keptLines {
		l.first = append(l.first, string(line[:min(len(line), keptLength)]))
	}
}

// reset begins to count again.
func (l *lines) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count, l.first = 0, nil
}

func (l *lines) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// sample is the first few lines since the reset.
func (l *lines) sample() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.first, "\n")
}
