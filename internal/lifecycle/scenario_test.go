package lifecycle_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	. "oauth-proxyd/internal/lifecycle"
)

// A scenario is a text file that describes a life: comments begin with "#", an event stands at the
// beginning of a line, and below it, indented, what is done about it and, if the state changed,
// what it is now. The indented lines must match to the letter. LIFECYCLE_REWRITE=1 rewrites them:
// read the difference before keeping it.
func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("finding scenarios: %d files, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			want := read(t, path)
			got := play(t, want)
			if got == want {
				return
			}
			if os.Getenv("LIFECYCLE_REWRITE") == "" {
				t.Fatalf("%s differs\n--- got\n%s--- want\n%s", path, got, want)
			}
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatalf("rewriting the scenario: %v", err)
			}
		})
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("reading a scenario: %v", err)
	}
	return string(text)
}

// play returns the script with everything below its events played again.
func play(t testing.TB, script string) string {
	t.Helper()
	var story strings.Builder
	s := State{}
	lines := bufio.NewScanner(strings.NewReader(script))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, " ") {
			continue
		}
		fmt.Fprintln(&story, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		before := s
		var actions []Action
		s, actions = Step(s, eventNamed(t, line))
		write(&story, before, s, actions)
	}
	return story.String()
}

func write(story *strings.Builder, before, after State, actions []Action) {
	for _, a := range actions {
		fmt.Fprintf(story, "    %s\n", words(a))
	}
	switch {
	case after != before:
		fmt.Fprintf(story, "    now %s\n", describe(after))
	case len(actions) == 0:
		fmt.Fprintln(story, "    nothing happens")
	}
}

// events returns the events of a scenario.
func events(t testing.TB, script string) []Event {
	t.Helper()
	var all []Event
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, " ") {
			all = append(all, eventNamed(t, line))
		}
	}
	return all
}

func eventNamed(t testing.TB, name string) Event {
	t.Helper()
	for _, e := range allEvents() {
		if words(e) == name {
			return e
		}
	}
	t.Fatalf("no event is called %q", name)
	return nil
}

// words names an event or an action as scenarios do.
func words(v any) string {
	name := spaced(strings.TrimPrefix(fmt.Sprintf("%T", v), "lifecycle."))
	switch v := v.(type) {
	case ConfigLoaded:
		return name + ": " + settings(v)
	case ReloadDone:
		return name + ": " + requirement(v.TailnetRequired)
	case TailnetLost:
		if v.Retry {
			return fmt.Sprintf("%s: retry, else exit %d", name, v.ExitCode)
		}
		return fmt.Sprintf("%s: exit %d", name, v.ExitCode)
	case ScheduleRetry:
		return fmt.Sprintf("%s: after %v", name, v.After)
	case Exit:
		return fmt.Sprintf("%s: %d", name, v.Code)
	}
	return name
}

// settings is what a configuration says of the tailnet.
func settings(c ConfigLoaded) string {
	switch text := requirement(c.TailnetRequired); {
	case c.WaitWhenDown:
		return text + ", wait when down"
	case c.TailnetRequired:
		return text + ", exit when down"
	default:
		return text
	}
}

func requirement(required bool) string {
	if required {
		return "tailnet required"
	}
	return "tailnet not required"
}

// spaced turns "NotifyMainPID" into "notify main pid".
func spaced(name string) string {
	var b strings.Builder
	inUpper := true
	for _, r := range name {
		if unicode.IsUpper(r) && !inUpper {
			b.WriteByte(' ')
		}
		inUpper = unicode.IsUpper(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// describe tells what a state holds beyond the configuration.
func describe(s State) string {
	facts := []string{s.Phase.String(), "tailnet " + [...]string{"unknown", "up", "down", "disabled"}[s.Tailnet]}
	if s.Retries > 0 {
		facts = append(facts, fmt.Sprintf("retries %d", s.Retries))
	}
	if s.Change != NoChange {
		facts = append(facts, [...]string{Reloading: "reloading", Upgrading: "upgrading", Announcing: "announcing"}[s.Change])
	}
	if s.ReloadPending {
		facts = append(facts, "reload pending")
	}
	if s.UpgradePending {
		facts = append(facts, "upgrade pending")
	}
	if s.Phase == Stopped || s.ExitCode != 0 {
		facts = append(facts, fmt.Sprintf("exit code %d", s.ExitCode))
	}
	return strings.Join(facts, ", ")
}
