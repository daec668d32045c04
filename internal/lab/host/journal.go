package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Record is an entry of the journal: its fields by their names, such as MESSAGE and PRIORITY
// (systemd.journal-fields(7)). What is no text is left out.
type Record map[string]string

// Priority is the entry's severity, from 0, an emergency, to 7, debugging; -1 if it has none
// (syslog(3)).
func (r Record) Priority() int {
	n, err := strconv.Atoi(r["PRIORITY"])
	if err != nil {
		return -1
	}
	return n
}

// Journal reads the journal of the host, oldest first, as far as the arguments for journalctl
// choose: "--unit=oauth-proxyd.service", "PRIORITY=4".
func (h *Host) Journal(ctx context.Context, choice ...string) ([]Record, error) {
	out, err := h.Run(ctx, "journalctl", append([]string{"--output=json", "--all", "--no-pager"}, choice...)...)
	if err != nil {
		return nil, err
	}
	var records []Record
	decoder := json.NewDecoder(strings.NewReader(out.Stdout))
	for {
		var fields map[string]any
		err := decoder.Decode(&fields)
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the host's journal: %w", err)
		}
		records = append(records, textOf(fields))
	}
}

// textOf keeps the fields that are text: what has several values, or bytes, is a list.
func textOf(fields map[string]any) Record {
	r := Record{}
	for name, value := range fields {
		if text, ok := value.(string); ok {
			r[name] = text
		}
	}
	return r
}
