package lifecycle_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	. "oauth-proxyd/internal/lifecycle"
)

// The picture of the life in the documentation is drawn from Step, over every state that a life can
// come to and every event. LIFECYCLE_REWRITE=1 redraws it.
func TestPicture(t *testing.T) {
	const path, begin, end = "../../docs/ARCHITECTURE.md", "```mermaid\nstateDiagram-v2\n", "```\n"
	text := read(t, path)
	before, rest, found := strings.Cut(text, begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no picture of the life, a Mermaid stateDiagram-v2", path)
	}
	picture := draw(t)
	if text == before+begin+picture+end+after {
		return
	}
	if os.Getenv("LIFECYCLE_REWRITE") == "" {
		t.Fatalf("%s shows another life than\n%s", path, picture)
	}
	if err := os.WriteFile(path, []byte(before+begin+picture+end+after), 0o644); err != nil {
		t.Fatalf("rewriting the picture: %v", err)
	}
}

// draw writes a line for each node of the picture, then one for each arrow.
func draw(t *testing.T) string {
	t.Helper()
	states := reachable()
	var nodes, arrows strings.Builder
	fmt.Fprintf(&arrows, "    [*] --> %s\n", node(State{}))
	var named []string
	for _, s := range states {
		if id := node(s); !slices.Contains(named, id) {
			named = append(named, id)
			fmt.Fprintf(&nodes, "    state %q as %s\n", title(s), id)
		}
	}
	for _, p := range allPhases() {
		transitions := transitionsFrom(t, states, p)
		for _, to := range named {
			if labels := labelsOf(transitions[to]); len(labels) > 0 {
				fmt.Fprintf(&arrows, "    %s --> %s : %s\n", strings.ReplaceAll(p.String(), "-", ""), to, strings.Join(labels, "<br>"))
			}
		}
	}
	return nodes.String() + arrows.String()
}

// reachable lists every state of every life, in the order of a search by breadth.
func reachable() []State {
	states := []State{{}}
	for i := 0; i < len(states); i++ {
		for _, e := range allEvents() {
			if next, _ := Step(states[i], e); !slices.Contains(states, next) {
				states = append(states, next)
			}
		}
	}
	return states
}

// title is the phase, and for the last one how it is left.
func title(s State) string {
	if s.Phase == Stopped {
		return fmt.Sprintf("stopped, exit %d", s.ExitCode)
	}
	return s.Phase.String()
}

// node is the title as a name that Mermaid takes.
func node(s State) string {
	return strings.NewReplacer("-", "", ", exit ", "").Replace(title(s))
}

// transition is an event that leads somewhere, and the condition for it.
type transition struct {
	event Event
	given string
}

// transitionsFrom finds for each node how it is reached from a phase. A pair that neither changes
// nor does anything is not drawn.
func transitionsFrom(t *testing.T, states []State, p Phase) map[string][]transition {
	t.Helper()
	transitions := make(map[string][]transition)
	for _, e := range allEvents() {
		outcomes := make(map[string][]State)
		for _, s := range states {
			if next, actions := Step(s, e); s.Phase == p && (next != s || len(actions) > 0) {
				outcomes[node(next)] = append(outcomes[node(next)], s)
			}
		}
		for to, these := range outcomes {
			var others []State
			for elsewhere, those := range outcomes {
				if elsewhere != to {
					others = append(others, those...)
				}
			}
			transitions[to] = append(transitions[to], transition{e, condition(t, these, others)})
		}
	}
	return transitions
}

// condition names what holds in these states and in none of the others.
func condition(t *testing.T, these, others []State) string {
	t.Helper()
	facts := []struct {
		name  string
		holds func(State) bool
	}{
		{"wait when down", waits},
		{"exit when down", not(waits)},
		{"5 retries are over", func(s State) bool { return s.Retries == MaxRetries }},
		{"fewer than 5 retries", func(s State) bool { return s.Retries < MaxRetries }},
		{"a listener died", failing},
		{"no listener died", clean},
	}
	var given []string
	for _, f := range facts {
		excludes := slices.ContainsFunc(others, not(f.holds))
		if excludes && !slices.ContainsFunc(these, not(f.holds)) {
			given = append(given, f.name)
			others = slices.DeleteFunc(slices.Clone(others), not(f.holds))
		}
	}
	if len(others) > 0 {
		t.Fatalf("what tells %+v from %+v is not among the facts", these[0], others[0])
	}
	return strings.Join(given, ", ")
}

// labelsOf names each event once, with those of its contents that make the transition if not all
// do, and with what must be so.
func labelsOf(transitions []transition) []string {
	var labels []string
	for _, w := range transitions {
		var contents []string
		for _, other := range transitions {
			if name(other.event) == name(w.event) && other.given == w.given {
				contents = append(contents, content(other.event))
			}
		}
		label := name(w.event)
		if len(contents) < len(slices.DeleteFunc(allEvents(), func(e Event) bool { return name(e) != label })) {
			if text := strings.Join(slices.Compact(contents), ", "); text != "" {
				label += " (" + text + ")"
			}
		}
		if w.given != "" {
			label += ", " + w.given
		}
		if !slices.Contains(labels, label) {
			labels = append(labels, label)
		}
	}
	return labels
}

// name is what an event is called, whatever it holds.
func name(e Event) string {
	before, _, _ := strings.Cut(words(e), ":")
	return before
}

// content is what an event holds, in short.
func content(e Event) string {
	_, after, _ := strings.Cut(words(e), ": ")
	first, _, _ := strings.Cut(after, ",")
	return first
}
