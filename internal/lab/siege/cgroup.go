package siege

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cgroupPrefix begins the name of each control group; the id of the process that made it follows.
const cgroupPrefix = "oauth-proxyd-siege-"

// cgroup is a control group with the unit's limits. In version 1 it has a folder in the hierarchy
// of each controller, in version 2 both are the same folder.
type cgroup struct {
	memory, pids string
	unified      bool
}

// newCgroup makes a control group. The memory controller exists in one version only, so the first
// version that works is the right one.
func newCgroup(l Limits) (*cgroup, error) {
	c, err := newCgroupV1(l)
	if err == nil {
		return c, nil
	}
	c, errV2 := newCgroupV2(l)
	return c, errors.Join(err, errV2)
}

func newCgroupV1(l Limits) (*cgroup, error) {
	c := &cgroup{}
	for controller, dir := range map[string]*string{"memory": &c.memory, "pids": &c.pids} {
		parent, err := ownCgroupV1(controller)
		if err == nil {
			*dir, err = makeCgroup(parent)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cgroup v1: %w", err), c.close())
		}
	}
	err := errors.Join(
		write(c.memory, "memory.limit_in_bytes", l.Memory),
		write(c.pids, "pids.max", l.Tasks),
	)
	// A kernel without accounting for swap has no such file, and mostly no swap.
	if swapErr := write(c.memory, "memory.memsw.limit_in_bytes", l.Memory+l.Swap); !errors.Is(swapErr, fs.ErrNotExist) {
		err = errors.Join(err, swapErr)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// newCgroupV2 makes the group at the root, because a group that has processes, such as that of this
// process, cannot hand its controllers on (cgroups(7), "no internal processes").
func newCgroupV2(l Limits) (*cgroup, error) {
	const root = "/sys/fs/cgroup"
	dir, err := makeCgroup(root)
	if err != nil {
		return nil, fmt.Errorf("cgroup v2: %w", err)
	}
	c := &cgroup{memory: dir, pids: dir, unified: true}
	err = errors.Join(
		write(dir, "memory.max", l.Memory),
		write(dir, "memory.swap.max", l.Swap),
		write(dir, "pids.max", l.Tasks),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cgroup v2: %w", err), c.close())
	}
	return c, nil
}

// ownCgroupV1 is the folder of this process's group in the controller's hierarchy.
func ownCgroupV1(controller string) (string, error) {
	f, err := os.Open("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		_, rest, _ := strings.Cut(lines.Text(), ":")
		if path, ok := strings.CutPrefix(rest, controller+":"); ok {
			return filepath.Join("/sys/fs/cgroup", controller, path), nil
		}
	}
	return "", errors.Join(lines.Err(), fmt.Errorf("no hierarchy for %s", controller))
}

// makeCgroup also removes what a run that was killed left in the same parent.
func makeCgroup(parent string) (string, error) {
	if _, err := os.Stat(filepath.Join(parent, "cgroup.procs")); err != nil {
		return "", err
	}
	old, _ := filepath.Glob(filepath.Join(parent, cgroupPrefix+"*")) // the pattern is well-formed
	for _, dir := range old {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix), "-")
		if _, err := os.Stat("/proc/" + owner); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(dir) // another run may have been faster
		}
	}
	dir := filepath.Join(parent, fmt.Sprintf("%s%d-%s", cgroupPrefix, os.Getpid(), rand.Text()))
	return dir, os.Mkdir(dir, 0o755)
}

func write(dir, file string, n int64) error {
	return os.WriteFile(filepath.Join(dir, file), strconv.AppendInt(nil, n, 10), 0o600)
}

// procs are the files to which a process writes its id to enter.
func (c *cgroup) procs() []string {
	if c == nil {
		return nil
	}
	return []string{filepath.Join(c.memory, "cgroup.procs"), filepath.Join(c.pids, "cgroup.procs")}
}

// usage is what the group's processes and their sockets hold, in bytes. The page cache is not in
// it: the kernel takes that back on its own.
func (c *cgroup) usage() (int64, error) {
	current, cache := "memory.usage_in_bytes", "total_cache"
	if c.unified {
		current, cache = "memory.current", "file"
	}
	text, err := os.ReadFile(filepath.Join(c.memory, current))
	if err != nil {
		return 0, err
	}
	total, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, err
	}
	cached, err := field(filepath.Join(c.memory, "memory.stat"), cache)
	return total - cached, err
}

// outOfMemory reports whether the kernel killed a process of the group for its memory.
func (c *cgroup) outOfMemory() bool {
	if c == nil {
		return false
	}
	file := "memory.oom_control"
	if c.unified {
		file = "memory.events"
	}
	kills, err := field(filepath.Join(c.memory, file), "oom_kill")
	return err == nil && kills > 0
}

// close removes the group. The kernel may still be busy with the last process for a moment after
// its end.
func (c *cgroup) close() error {
	if c == nil {
		return nil
	}
	var errs []error
	for _, dir := range [...]string{c.memory, c.pids} {
		if dir != "" {
			errs = append(errs, removeCgroup(dir))
		}
	}
	return errors.Join(errs...)
}

func removeCgroup(dir string) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for late := time.After(patience); ; {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-late:
			return fmt.Errorf("removing a control group: %w", err)
		}
	}
}
