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

// Record is a list that grows while a process lives: lines of its output, or messages to the
// service manager. Next reads it like a book.
type Record struct {
	mu      sync.Mutex
	entries []string
	partial []byte
	grown   chan struct{} // closed and replaced at each entry
	read    int           // by Next
}

// NewRecord is one without entries.
func NewRecord() *Record { return &Record{grown: make(chan struct{})} }

// Write makes each line an entry. It suits exec.Cmd.
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

// Add makes the text one entry, whatever lines it has.
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

// All is everything so far, what is not a whole line yet included.
func (r *Record) All() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.entries)
	if len(r.partial) > 0 {
		all = append(all, string(r.partial))
	}
	return all
}

// Text is All, a line each.
func (r *Record) Text() string { return strings.Join(r.All(), "\n") }

// Next waits for the next entry that contains all the words, and is read up to it.
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
			t.Fatalf("nothing came with %q; there was:\n%s", words, r.Text())
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

// ContainsAll reports whether all the words are in a text.
func ContainsAll(text string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// Count is how many entries so far contain the word.
func (r *Record) Count(word string) int {
	n := 0
	for _, e := range r.All() {
		if strings.Contains(e, word) {
			n++
		}
	}
	return n
}

// ListenNotify records the messages that come to a NOTIFY_SOCKET, see sd_notify(3), each after the
// given functions have seen it.
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
	t.Cleanup(func() {
		_ = c.Close() // it was only read
		reading.Wait()
	})
	return r
}

// Field is the value of one assignment of a message.
func Field(message, name string) string {
	for line := range strings.Lines(message) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name+"="); ok {
			return value
		}
	}
	return ""
}
