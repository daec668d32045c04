package proof_test

import (
	"bytes"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// record is a list that grows while a process lives: lines of its output, or
// messages to the service manager. next reads it like a book.
type record struct {
	mu      sync.Mutex
	entries []string
	partial []byte
	grown   chan struct{} // closed and replaced at each entry
	read    int           // by next
}

func newRecord() *record { return &record{grown: make(chan struct{})} }

// Write makes each line an entry.
func (r *record) Write(p []byte) (int, error) {
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

func (r *record) add(entry string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.append(entry)
}

func (r *record) append(entry string) {
	r.entries = append(r.entries, entry)
	close(r.grown)
	r.grown = make(chan struct{})
}

// all is everything so far, what is not a whole line yet included.
func (r *record) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := append([]string(nil), r.entries...)
	if len(r.partial) > 0 {
		all = append(all, string(r.partial))
	}
	return all
}

func (r *record) text() string { return strings.Join(r.all(), "\n") }

// next waits for the next entry that contains all the words, and is read up to it.
func (r *record) next(t *testing.T, words ...string) string {
	t.Helper()
	late := time.After(patience)
	for {
		entry, found, grown := r.scan(words)
		if found {
			return entry
		}
		select {
		case <-grown:
		case <-late:
			t.Fatalf("nothing came with %q; there was:\n%s", words, r.text())
		}
	}
}

func (r *record) scan(words []string) (entry string, found bool, grown <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.read < len(r.entries) {
		entry = r.entries[r.read]
		r.read++
		if containsAll(entry, words) {
			return entry, true, nil
		}
	}
	return "", false, r.grown
}

func containsAll(s string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}

// count is how many entries so far contain the word.
func (r *record) count(word string) int {
	n := 0
	for _, e := range r.all() {
		if strings.Contains(e, word) {
			n++
		}
	}
	return n
}

// listenNotify records the messages that come to a NOTIFY_SOCKET, see sd_notify(3).
func listenNotify(t *testing.T, path string) *record {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	r := newRecord()
	var reading sync.WaitGroup
	reading.Go(func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := c.Read(buffer)
			if err != nil {
				return
			}
			r.add(string(buffer[:n]))
		}
	})
	t.Cleanup(func() { c.Close(); reading.Wait() })
	return r
}

// field is the value of one assignment of a message.
func field(message, name string) string {
	for line := range strings.Lines(message) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name+"="); ok {
			return value
		}
	}
	return ""
}
