package daemontest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// Load sends requests all the time, in every way that clients do, and repeats none:
// what gets no answer is lost.
type Load struct {
	t    *testing.T
	quit chan struct{}
	once sync.Once
	work sync.WaitGroup

	mu     sync.Mutex
	done   []sent
	served chan struct{} // gets one for each answer, if somebody waits
}

// sent is one request.
type sent struct {
	how string
	Span
	err error
}

// Span is a time with a beginning and an end.
type Span struct{ Begin, End time.Time }

func (s Span) overlaps(other Span) bool { return s.Begin.Before(other.End) && s.End.After(other.Begin) }

// pace is the pause of one client between two requests: enough of them to meet
// every moment of a restart, not so many as to measure this machine.
const pace = 4 * time.Millisecond

// NewLoad begins. It ends with the test, or with WantNoneLost.
func NewLoad(t *testing.T, to Target, requests ...Request) *Load {
	t.Helper()
	l := &Load{t: t, quit: make(chan struct{}), served: make(chan struct{})}
	for _, r := range requests {
		l.start("new connections", &loadClient{to: to, closing: true}, r)
		l.start("a kept connection", &loadClient{to: to}, r)
	}
	t.Cleanup(l.end)
	return l
}

func (l *Load) end() {
	l.once.Do(func() { close(l.quit) })
	l.work.Wait()
}

func (l *Load) start(how string, c *loadClient, r Request) {
	how = fmt.Sprintf("%s, %s %s", how, r.Method, r.Path)
	l.work.Go(func() { l.repeat(how, c, r) })
}

func (l *Load) repeat(how string, c *loadClient, r Request) {
	defer c.close()
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-l.quit:
			return
		}
		begin := time.Now()
		err := c.send(r)
		l.note(sent{how, Span{begin, time.Now()}, err})
	}
}

func (l *Load) note(s sent) {
	l.mu.Lock()
	l.done = append(l.done, s)
	l.mu.Unlock()
	if s.err == nil {
		select {
		case l.served <- struct{}{}:
		default:
		}
	}
}

// More waits for that many answers.
func (l *Load) More(n int) {
	l.t.Helper()
	late := time.After(Patience)
	for range n {
		select {
		case <-l.served:
		case <-late:
			l.t.Fatal("the load gets no answers")
		}
	}
}

// WantNoneLost ends the load and counts, apart from what was in flight while the
// process was killed.
func (l *Load) WantNoneLost(kills ...Span) {
	l.t.Helper()
	l.end()
	lost, excused := 0, 0
	for _, s := range l.done {
		switch {
		case s.err == nil:
		case slices.ContainsFunc(kills, s.overlaps):
			excused++
		default:
			if lost++; lost <= 10 {
				l.t.Errorf("lost on %s after %v: %v", s.how, s.End.Sub(s.Begin), s.err)
			}
		}
	}
	l.t.Logf("%d of %d requests lost, %d were in flight while the process was killed", lost, len(l.done), excused)
}
