package rig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// CPU is the processor time that the kernel has counted for a process and its children
// (/proc/PID/task/TID/schedstat, the first number, in nanoseconds). That of threads that ended is
// not in it: none of the programs here ends threads while it works.
func CPU(pid int) (time.Duration, error) {
	var total time.Duration
	err := eachThread(pid, func(dir string) error {
		text, err := os.ReadFile(filepath.Join(dir, "schedstat"))
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(string(text), " ")
		nanoseconds, err := strconv.ParseInt(first, 10, 64)
		total += time.Duration(nanoseconds)
		return err
	})
	return total, err
}

// Wakeups is how often the threads of a process and its children slept and were woken
// (voluntary_ctxt_switches of /proc/PID/task/TID/status).
func Wakeups(pid int) (int64, error) {
	var total int64
	err := eachThread(pid, func(dir string) error {
		n, err := field(filepath.Join(dir, "status"), "voluntary_ctxt_switches:")
		total += n
		return err
	})
	return total, err
}

// PSS is the proportional set size of a process and its children in kB: pages that several share
// are divided among them (/proc/PID/smaps_rollup).
func PSS(pid int) (int64, error) { return eachProcess(pid, "smaps_rollup", "Pss:") }

// OwnPSS is that of the process without its children.
func OwnPSS(pid int) (int64, error) { return field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:") }

// RSS is their resident set size in kB.
func RSS(pid int) (int64, error) { return eachProcess(pid, "status", "VmRSS:") }

// Descriptors is how many files and sockets a process has open.
func Descriptors(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}

// eachProcess sums a field over a process and its children.
func eachProcess(pid int, file, name string) (total int64, err error) {
	pids, err := tree(pid)
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		n, err := field(fmt.Sprintf("/proc/%d/%s", pid, file), name)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// eachThread calls do with the folder of each thread.
func eachThread(pid int, do func(dir string) error) error {
	pids, err := tree(pid)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			if err := do(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// tree is a process, its children and theirs.
func tree(pid int) ([]int, error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	pids := []int{pid}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			return nil, err
		}
		for child := range strings.FieldsSeq(string(text)) {
			n, err := strconv.Atoi(child)
			if err != nil {
				return nil, err
			}
			below, err := tree(n)
			if err != nil {
				return nil, err
			}
			pids = append(pids, below...)
		}
	}
	return pids, nil
}

// field is the number behind a name that begins a line of a file.
func field(path, name string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			number, _, _ := strings.Cut(string(bytes.TrimSpace(value)), " ")
			return strconv.ParseInt(number, 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}
