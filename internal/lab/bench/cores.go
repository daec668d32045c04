package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Cores are where the proxy runs, as taskset reads them: one core without the harness, or all.
// Empty means any.
type Cores struct{ Proxy, All string }

// allowedCores are those that this process may run on (Cpus_allowed_list of /proc/self/status).
func allowedCores() ([]int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	_, list, _ := strings.Cut(string(status), "Cpus_allowed_list:\t")
	list, _, _ = strings.Cut(list, "\n")
	var cores []int
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		if err != nil {
			return nil, fmt.Errorf("reading Cpus_allowed_list: %w", err)
		}
		to, err := strconv.Atoi(last)
		if err != nil {
			return nil, fmt.Errorf("reading Cpus_allowed_list: %w", err)
		}
		for core := from; core <= to; core++ {
			cores = append(cores, core)
		}
	}
	return cores, nil
}

// pinnedEnv carries the cores over the exec of Pin.
const pinnedEnv = "BENCH_PROXY_CORE"

// Pin begins the program again on a core of its own, so that Go's scheduler sees one processor
// only, and gives the cores once that was done.
func Pin() (Cores, error) {
	cores, err := allowedCores()
	if err != nil {
		return Cores{}, err
	}
	if text := os.Getenv(pinnedEnv); text != "" && len(cores) == 1 {
		return Cores{Proxy: text, All: fmt.Sprintf("%s,%d", text, cores[0])}, nil
	}
	if len(cores) < 2 {
		return Cores{}, errors.New("it takes two cores: one for the proxy, one for its clients and its upstream")
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return Cores{}, err
	}
	proxy, harness := cores[0], cores[1]
	self, err := os.Executable()
	if err != nil {
		return Cores{}, err
	}
	args := append([]string{"taskset", "-c", strconv.Itoa(harness), self}, os.Args[1:]...)
	return Cores{}, syscall.Exec(taskset, args, append(os.Environ(), fmt.Sprintf("%s=%d", pinnedEnv, proxy)))
}
