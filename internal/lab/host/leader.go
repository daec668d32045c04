package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// childNamed is the child of a process that is known by another id in the child's parent's process
// namespace.
func childNamed(parent, inside int) (int, error) {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", parent))
	if err != nil {
		return 0, fmt.Errorf("finding the host's first process: %w", err)
	}
	for id := range strings.FieldsSeq(string(children)) {
		names, err := namesOf(id)
		if err != nil {
			return 0, fmt.Errorf("finding the host's first process: %w", err)
		}
		if len(names) == 3 && names[1] == strconv.Itoa(inside) {
			return strconv.Atoi(id)
		}
	}
	return 0, fmt.Errorf("finding the host's first process: none of %q is it", children)
}

// namesOf are the ids of a process, from this process's namespace to its own (proc_pid_status(5)).
func namesOf(id string) ([]string, error) {
	status, err := os.ReadFile("/proc/" + id + "/status")
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(status), "\nNSpid:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Fields(line), nil
}
