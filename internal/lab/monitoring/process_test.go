package monitoring_test

import (
	"bytes"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that is to happen. A busy machine is slow.
const patience = 30 * time.Second

// process is a program that runs beside a test.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
}

// run starts a program. The end of the test is a SIGTERM and the wait for its end.
func run(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // it is told to end, and how it does is its own affair
		close(p.done)
	}()
	t.Cleanup(func() { p.end(t) })
	return p
}

// Write implements io.Writer.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

func (p *process) end(t *testing.T) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	if t.Failed() {
		const enough = 4000
		text := p.text()
		t.Logf("the output of %s:\n%s", p.cmd.Path, text[max(0, len(text)-enough):])
	}
}

// says waits for output that matches, and returns the first group.
func (p *process) says(t *testing.T, pattern string) (group string) {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	eventually(t, p.cmd.Path+" says "+pattern, func() bool {
		found := wanted.FindStringSubmatch(p.text())
		if found != nil {
			group = found[1]
		}
		return found != nil
	})
	return group
}

// eventually waits until something has come true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(patience)
	for !is() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("still not: %s", what)
		}
	}
}
