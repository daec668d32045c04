package daemontest

import (
	"bytes"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Record is a growing list of what a process says: lines of its output, or messages to the service
// manager. Next reads it from the beginning to the end.
type Record struct {
	mu      sync.Mutex
	entries []string
	partial []byte
	grown   chan struct{} // closed and replaced at each entry
	read    int           // by Next
}

// NewRecord returns an empty record.
func NewRecord() *Record { return &Record{grown: make(chan struct{})} }

// Write adds each line as an entry. A Record can be the output of an exec.Cmd.
func (r *Record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.partial = append(r.partial, p...)
	for {
		line, rest, found := bytes.Cut(r.partial, []byte("\n"))
		if !found {
			return len(p), nil
		}
		r.partial = rest
		r.append(string(line))
	}
}

// Add adds the whole text as one entry.
func (r *Record) Add(entry string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.append(entry)
}

func (r *Record) append(entry string) {
	r.entries = append(r.entries, entry)
	close(r.grown)
	r.grown = make(chan struct{})
}

// All returns all entries so far, and the beginning of a line if its end is missing.
func (r *Record) All() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.entries)
	if len(r.partial) > 0 {
		all = append(all, string(r.partial))
	}
	return all
}

// Text returns All, one entry on each line.
func (r *Record) Text() string { return strings.Join(r.All(), "\n") }

// Next waits for the next entry that contains all the words. A later call continues after it.
func (r *Record) Next(t *testing.T, words ...string) string {
	t.Helper()
	late := time.After(Patience)
	for {
		entry, found, grown := r.scan(words)
		if found {
			return entry
		}
		select {
		case <-grown:
		case <-late:
			t.Fatalf("no entry has %q; the record:\n%s", words, r.Text())
		}
	}
}

func (r *Record) scan(words []string) (entry string, found bool, grown <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.read < len(r.entries) {
		entry = r.entries[r.read]
		r.read++
		if ContainsAll(entry, words) {
			return entry, true, nil
		}
	}
	return "", false, r.grown
}

// ContainsAll reports whether the text contains all the words.
func ContainsAll(text string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// Count returns how many entries so far contain the word.
func (r *Record) Count(word string) (n int) {
	for _, e := range r.All() {
		if strings.Contains(e, word) {
			n++
		}
	}
	return n
}

// ListenNotify records the messages that arrive at a NOTIFY_SOCKET, see sd_notify(3). It calls each
// before it records a message.
func ListenNotify(t *testing.T, path string, each ...func(message string)) *Record {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil { //nolint:gosec // a process without rights writes there
		t.Fatal(err)
	}
	r := NewRecord()
	var reading sync.WaitGroup
	reading.Go(func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := c.Read(buffer)
			if err != nil {
				return
			}
			message := string(buffer[:n])
			for _, see := range each {
				see(message)
			}
			r.Add(message)
		}
	})
	t.Cleanup(func() { _ = c.Close(); reading.Wait() })
	return r
}

// Field returns the value that the message assigns to name.
func Field(message, name string) string {
	for line := range strings.Lines(message) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name+"="); ok {
			return value
		}
	}
	return ""
}
