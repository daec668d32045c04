package bundle

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxJournal is how much of the journal is kept, in bytes: its end, which is the latest.
const maxJournal = 2 << 20

// AddJournal adds the output of journalctl --output=json. Only records of oauth-proxyd and systemd
// are kept: the unit may start other programs, which can write anything.
func (a *Archive) AddJournal(name, about, output string, err error) {
	if err != nil {
		a.addMissing(name, err)
		return
	}
	kept, skipped := []string{}, 0
	for line := range strings.Lines(output) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) != nil {
			skipped++
			continue
		}
		text := a.filter.record(fields)
		if text == "" {
			skipped++
			continue
		}
		kept = append(kept, text)
	}
	content, dropped := strings.Join(kept, ""), 0
	for ; len(content) > maxJournal; dropped++ {
		content = content[len(kept[dropped]):]
	}
	summary := fmt.Sprintf("%d older records and %d of other programs are left out\n", dropped, skipped)
	a.members = append(a.members, member{name, about, summary + content})
}

// record returns a record of the journal in one line, or "" if it is another program's.
func (f *Filter) record(r map[string]any) string {
	message, _ := r["MESSAGE"].(string)
	begin := at(r) + " "
	switch from := r["SYSLOG_IDENTIFIER"]; {
	case message == "":
		return ""
	case from == "systemd":
		return begin + "systemd: " + f.Text(message) + "\n"
	case from != "oauth-proxyd":
		return ""
	}
	if frame := stackFrame(message); frame != "" {
		return begin + frame + "\n"
	}
	fields := make(map[string]any)
	for name, value := range r {
		if own := !strings.HasPrefix(name, "_") && !strings.HasPrefix(name, "SYSLOG_"); own && name != "MESSAGE" {
			fields[fieldKey(name)] = value
		}
	}
	if strings.HasPrefix(message, "{") && json.Unmarshal([]byte(message), &fields) == nil { // log.format = "json"
		message, _ = fields["msg"].(string)
		delete(fields, "msg")
	}
	return begin + f.Text(withoutFields(message, fields)) + f.fields(fields) + "\n"
}

func at(r map[string]any) string {
	text, _ := r["__REALTIME_TIMESTAMP"].(string)
	micros, _ := strconv.ParseInt(text, 10, 64) // 1970: not known
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000Z")
}

// fieldKey returns the key of an attribute of the log by its name in the journal.
func fieldKey(name string) string {
	for _, prefix := range []string{"HTTP_", "TS_", "X_"} {
		name = strings.TrimPrefix(name, prefix)
	}
	return strings.ToLower(name)
}

// withoutFields returns a message without the fields that the log repeats in it. The line of a
// request consists of fields.
func withoutFields(message string, fields map[string]any) string {
	if fields["request_id"] != nil && fields["method"] != nil {
		return "request"
	}
	for _, key := range regexp.MustCompile(` ([a-z][a-z_.]*)=`).FindAllStringSubmatchIndex(message, -1) {
		if _, known := fields[message[key[2]:key[3]]]; known {
			return message[:key[0]]
		}
	}
	return message
}

// fields returns the fields in the form key=value, in the order of their keys.
func (f *Filter) fields(all map[string]any) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(all)) {
		value := f.value(key, all[key])
		if list, ok := value.([]any); ok {
			value = strings.Trim(fmt.Sprint(list), "[]")
		}
		if s := fmt.Sprint(value); strings.ContainsAny(s, ` ="`) {
			value = strconv.Quote(s)
		}
		fmt.Fprintf(&text, " %s=%v", f.Text(key), value)
	}
	return text.String()
}

// stackFrame returns a line of a stack of goroutines, which the Go runtime prints when it is killed
// by the watchdog or panics: the function without its arguments, or the file without its directory.
func stackFrame(line string) string {
	frame := regexp.MustCompile(`^(goroutine \d+) \[|` +
		`^((?:created by )?(?:main|runtime|net|net/http|sync|os|time|syscall|internal/poll|oauth-proxyd/internal/[a-z]+)(?:\.\(\*?\w+\))?(?:\.\w+)+)|` +
		`^\t(?:\S*/)?([a-z_]+\.go:\d+)`)
	found := frame.FindStringSubmatch(line)
	if found == nil {
		return ""
	}
	return cmp.Or(found[1:]...)
}
