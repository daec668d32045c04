package bundle

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// AddJournal adds the output of journalctl --output=json. It keeps only records of oauth-proxyd and
// systemd: the unit may start other programs, which can write anything.
func (a *Archive) AddJournal(name, about, output string, err error) {
	if err != nil {
		a.addMissing(name, err)
		return
	}
	var kept strings.Builder
	foreign := 0
	j := journal{
		filter:    a.filter,
		attribute: regexp.MustCompile(` ([a-z][a-z_.]*)=`),
		frame: regexp.MustCompile(`^(goroutine \d+) \[|` +
			`^((?:created by )?(?:main|runtime|net|net/http|sync|os|time|syscall|internal/poll|` +
			`(?:oauth-proxyd/internal|golang\.org/x|tailscale\.com|github\.com/(?:coreos|hashicorp|prometheus))(?:/[\w-]+)+)` +
			`(?:\.\(\*?\w+\))?(?:\.\w+)+)|` +
			`^\t(?:\S*/)?([a-z_]+\.go:\d+)`),
	}
	for line := range strings.Lines(output) {
		record := j.record(line)
		if record == "" {
			foreign++
		}
		kept.WriteString(record)
	}
	summary := fmt.Sprintf("%d records of other programs are left out\n", foreign)
	a.members = append(a.members, member{name, about, summary + kept.String()})
}

// journal parses records before they are filtered.
type journal struct {
	filter    *Filter
	attribute *regexp.Regexp // in a message of the log
	frame     *regexp.Regexp // a line of a goroutine's stack, without arguments and directories
}

// record returns a record of the journal as a line of JSON, or "" if it is another program's.
func (j journal) record(line string) string {
	var r map[string]any
	_ = json.Unmarshal([]byte(line), &r) // it stays empty
	message, _ := r["MESSAGE"].(string)
	kept := make(map[string]any)
	switch frame := j.frame.FindStringSubmatch(message); {
	case message == "":
		return ""
	case r["SYSLOG_IDENTIFIER"] == "systemd":
		kept["systemd"] = message
	case r["SYSLOG_IDENTIFIER"] != "oauth-proxyd":
		return ""
	case frame != nil:
		kept["stack"] = cmp.Or(frame[1:]...)
	case json.Unmarshal([]byte(message), &kept) == nil: // log.format = "json"
	default:
		kept = j.ownFields(r, message)
	}
	micros, _ := r["__REALTIME_TIMESTAMP"].(string)
	since, _ := strconv.ParseInt(micros, 10, 64) // 1970: not known
	kept["time"] = time.UnixMicro(since).UTC().Format(time.RFC3339Nano)
	text, err := json.Marshal(j.filter.value("", kept))
	if err != nil {
		return ""
	}
	return string(text) + "\n"
}

// ownFields returns the fields that package logging sets. It repeats them in the message, where
// they are no longer told from other words, and the message of a request has nothing else.
func (j journal) ownFields(r map[string]any, message string) map[string]any {
	own := make(map[string]any)
	for name, value := range r {
		if name == "MESSAGE" || strings.HasPrefix(name, "_") || strings.HasPrefix(name, "SYSLOG_") {
			continue
		}
		for _, prefix := range []string{"HTTP_", "TS_", "X_"} {
			name = strings.TrimPrefix(name, prefix)
		}
		own[strings.ToLower(name)] = value
	}
	if own["request_id"] != nil && own["method"] != nil {
		return own
	}
	own["message"] = message
	for _, key := range j.attribute.FindAllStringSubmatchIndex(message, -1) {
		if own[message[key[2]:key[3]]] != nil {
			own["message"] = message[:key[0]]
			break
		}
	}
	return own
}
