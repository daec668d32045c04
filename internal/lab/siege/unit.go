package siege

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Limits are what the service unit allows the daemon.
type Limits struct {
	Memory      int64    // MemoryMax, in bytes
	Swap        int64    // MemorySwapMax, in bytes
	Tasks       int64    // TasksMax: threads
	Files       int64    // LimitNOFILE
	Environment []string // NAME=value
}

// ReadUnit reads the limits from a service unit. It fails if one of them is missing: the lab would
// then measure something that is not shipped.
func ReadUnit(file string) (Limits, error) {
	f, err := os.Open(file)
	if err != nil {
		return Limits{}, err
	}
	defer f.Close()
	var l Limits
	left := map[string]*int64{"MemoryMax": &l.Memory, "MemorySwapMax": &l.Swap, "TasksMax": &l.Tasks, "LimitNOFILE": &l.Files}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		if name == "Environment" {
			l.Environment = append(l.Environment, value)
		}
		if number, ok := left[name]; ok {
			if *number, err = parseSize(value); err != nil {
				return Limits{}, fmt.Errorf("%s: %s: %w", file, name, err)
			}
			delete(left, name)
		}
	}
	for name := range left {
		return Limits{}, fmt.Errorf("%s does not set %s", file, name)
	}
	return l, lines.Err()
}

// parseSize reads a number with systemd's suffixes, whose base is 1024.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMGT")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, err
	}
	switch s[len(digits):] {
	case "":
		return n, nil
	case "K":
		return n << 10, nil
	case "M":
		return n << 20, nil
	case "G":
		return n << 30, nil
	case "T":
		return n << 40, nil
	}
	return 0, fmt.Errorf("not a size: %q", s)
}
