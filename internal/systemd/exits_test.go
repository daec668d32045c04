package systemd

import (
	"fmt"
	"testing"
	"time"
)

func TestRecentExitsAreCounted(t *testing.T) {
	t.Parallel()
	now := time.Now()
	record := func(code, status string, ago time.Duration) string {
		return fmt.Sprintf(`{"EXIT_CODE":%q,"EXIT_STATUS":%q,"__REALTIME_TIMESTAMP":"%d"}`+"\n", code, status, now.Add(-ago).UnixMicro())
	}
	for name, row := range map[string]struct{ journal, want string }{
		"none":            {"", ""},
		"not JSON":        {"-- No entries --\n", ""},
		"the same":        {record("exited", "78", 4*time.Second) + record("exited", "78", time.Second), "the configuration was refused, exit 78 (2 times in the last minute)"},
		"another before":  {record("exited", "64", 4*time.Second) + record("exited", "78", time.Second), "the configuration was refused, exit 78 (once in the last minute)"},
		"a signal":        {record("killed", "9", time.Second), "killed (signal 9) (once in the last minute)"},
		"a normal end":    {record("exited", "78", 4*time.Second) + record("exited", "0", time.Second), ""},
		"it runs by now":  {record("exited", "78", 30*time.Second), ""},
		"a foreign field": {`{"EXIT_STATUS":[1]}` + "\n", ""},
	} {
		if got := parseExits(row.journal, now).Ending(); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}
