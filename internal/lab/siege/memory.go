package siege

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// sampleInterval is how often the control group is read. The peak of the resident set needs no
// samples: the kernel keeps it.
const sampleInterval = 10 * time.Millisecond

// Memory is what the daemon holds, in bytes.
type Memory struct {
	RSS    int64 // resident set of the process
	Cgroup int64 // of its control group without the page cache, 0 without one
}

// meter follows the memory of a daemon.
type meter struct {
	pid   int
	group *cgroup
	quit  chan struct{}
	work  sync.WaitGroup

	mu   sync.Mutex
	peak int64 // of the group
}

// newMeter begins; the peaks count from here.
func newMeter(pid int, group *cgroup) *meter {
	m := &meter{pid: pid, group: group, quit: make(chan struct{})}
	// 5 resets the peak of the resident set (proc_pid_clear_refs(5)). Where that is forbidden the
	// peak counts from the start of the process, which is stricter.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200)
	if group != nil {
		m.work.Go(m.sample)
	}
	return m
}

func (m *meter) sample() {
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-m.quit:
			return
		}
		if used, err := m.group.usage(); err == nil {
			m.mu.Lock()
			m.peak = max(m.peak, used)
			m.mu.Unlock()
		}
	}
}

// stop ends the sampling.
func (m *meter) stop() {
	close(m.quit)
	m.work.Wait()
}

// now is what is held at the moment.
func (m *meter) now() (Memory, error) { return m.read("VmRSS:") }

// most is the peak so far.
func (m *meter) most() (Memory, error) {
	held, err := m.read("VmHWM:")
	m.mu.Lock()
	defer m.mu.Unlock()
	held.Cgroup = max(held.Cgroup, m.peak)
	return held, err
}

func (m *meter) read(name string) (held Memory, err error) {
	kilobytes, err := field(fmt.Sprintf("/proc/%d/status", m.pid), name)
	if err != nil {
		return held, err
	}
	held.RSS = kilobytes << 10
	if m.group != nil {
		held.Cgroup, err = m.group.usage()
	}
	return held, err
}

// field is the number behind a name that begins a line of a file.
func field(path, name string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if words := bytes.Fields(line); len(words) > 1 && string(words[0]) == name {
			return strconv.ParseInt(string(words[1]), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}
