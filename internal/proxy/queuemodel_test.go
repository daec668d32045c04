package proxy

import (
	"context"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// queueModel is what a queue should have done so far. It draws what comes next.
type queueModel struct {
	q       *queue
	in      []*ticket
	waiting []*ticket // in the order of arrival
	// passed counts the slots that others got while one waited: persons by person, and sessions by
	// person and session.
	passed map[string]map[string]int
}

const modelWeight = 3 // the greatest

func modelLimits(t *rapid.T) config.Proxy {
	return config.Proxy{
		MaxConnections:          rapid.IntRange(1, 5).Draw(t, "slots"),
		MaxConnectionsPerPerson: rapid.IntRange(0, 3).Draw(t, "slots of a person"),
		QueueLimit:              rapid.IntRange(0, 12).Draw(t, "queue"),
	}
}

func (t *ticket) ofPerson() string  { return t.person }
func (t *ticket) ofSession() string { return t.person + " " + t.session }

func (m *queueModel) count(name func(*ticket) string) map[string]int {
	counts := make(map[string]int)
	for _, t := range m.waiting {
		counts[name(t)]++
	}
	return counts
}

func (m *queueModel) join(t *rapid.T) {
	one := &ticket{
		person:  rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "person"),
		session: rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "session"),
		share: access.Share{
			Weight: rapid.IntRange(0, modelWeight).Draw(t, "weight"), MaxRequests: rapid.IntRange(0, 2).Draw(t, "requests"),
		},
	}
	m.waiting = append(m.waiting, one)
	crowd := m.count((*ticket).ofPerson)
	m.q.join(one)
	m.follow(t, crowd)
}

func (m *queueModel) leave(t *rapid.T) {
	if len(m.in) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.in)-1).Draw(t, "in")
	one := m.in[i]
	m.in = slices.Delete(m.in, i, i+1)
	m.q.leave(one)
	m.follow(t, nil)
}

func (m *queueModel) quit(t *rapid.T) {
	if len(m.waiting) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.waiting)-1).Draw(t, "waiting")
	one := m.waiting[i]
	m.waiting = slices.Delete(m.waiting, i, i+1)
	if err := m.q.quit(one, context.Canceled); err == nil || one.node != nil {
		t.Fatalf("quitting: %v, state %q", err, one.state())
	}
	m.follow(t, nil)
}

func (m *queueModel) resize(t *rapid.T) {
	m.q.resize(modelLimits(t))
	m.follow(t, nil)
}

// follow takes over what became of those that waited. crowd is how many each person had waiting if
// one of them may have given way.
func (m *queueModel) follow(t *rapid.T, crowd map[string]int) {
	was, admitted := m.waiting, []*ticket(nil)
	m.waiting = nil
	for _, one := range was { // a new request with a higher limit may have got a slot at once
		if one.state() == "in" && crowd != nil {
			crowd[one.ofPerson()]--
		}
	}
	for _, one := range was {
		switch one.state() {
		case "waits":
			m.waiting = append(m.waiting, one)
		case "in":
			admitted = append(admitted, one)
		default:
			m.gaveWay(t, was, one, crowd)
		}
	}
	m.in = append(m.in, admitted...)
	m.forget()
	if len(admitted) == 1 {
		m.admitted(t, admitted[0])
	} else if len(admitted) > 1 { // in which order is not known
		clear(m.passed)
	}
}

// forget does not count for people and sessions that no longer wait for a slot.
func (m *queueModel) forget() {
	served := make(map[string]bool)
	for _, one := range m.waiting {
		served[one.ofPerson()] = m.q.mayServe(one.node.parent)
		served[one.ofSession()] = m.q.mayServe(one.node)
	}
	maps.DeleteFunc(m.passed, func(name string, _ map[string]int) bool { return !served[name] })
}

// admitted wants sessions to be first come, first served, and nobody to be passed too often.
func (m *queueModel) admitted(t *rapid.T, one *ticket) {
	delete(m.passed, one.ofPerson())
	delete(m.passed, one.ofSession())
	persons, sessions := make(map[string]bool), make(map[string]bool)
	for _, other := range m.waiting {
		switch session := other.node; {
		case other.person == one.person && other.session != one.session && m.q.mayServe(session):
			sessions[other.ofSession()] = true
		case other.person != one.person && m.q.mayServe(session.parent):
			persons[other.person] = true
		}
	}
	for name := range persons {
		m.pass(t, name, one.person, modelWeight)
	}
	for name := range sessions {
		m.pass(t, name, one.ofSession(), 1)
	}
}

func (m *queueModel) pass(t *rapid.T, waiting, served string, most int) {
	if m.passed[waiting] == nil {
		m.passed[waiting] = make(map[string]int)
	}
	if m.passed[waiting][served]++; m.passed[waiting][served] > most {
		t.Fatalf("%q got %d slots while %q waited for one", served, most+1, waiting)
	}
}

// gaveWay wants nobody to have had more waiting, and the request to be the newest of its session.
func (m *queueModel) gaveWay(t *rapid.T, was []*ticket, one *ticket, crowd map[string]int) {
	for person, n := range crowd {
		if n > crowd[one.person] {
			t.Fatalf("one of %d of %q gave way, though %q had %d", crowd[one.person], one.person, person, n)
		}
	}
	for _, other := range was[slices.Index(was, one)+1:] {
		if other.ofSession() == one.ofSession() {
			t.Fatalf("a request of %q gave way that was not its newest", one.ofSession())
		}
	}
	if _, waiting := m.q.counts(); crowd == nil || waiting < m.q.limits.QueueLimit {
		t.Fatalf("a request gave way, and %d of %d wait", waiting, m.q.limits.QueueLimit)
	}
}

// check is what is true after each step.
func (m *queueModel) check(t *rapid.T) {
	if in, waiting := m.q.counts(); in != len(m.in) || waiting != len(m.waiting) {
		t.Fatalf("%d in and %d waiting, want %d and %d", in, waiting, len(m.in), len(m.waiting))
	}
	oldest := make(map[string]bool)
	for _, one := range m.waiting {
		if first := one.node.requests[0]; !oldest[one.ofSession()] && first != one {
			t.Fatalf("the next of %q is not its oldest", one.ofSession())
		}
		oldest[one.ofSession()] = true
		if m.q.in < m.q.limits.MaxConnections && m.q.mayServe(one.node) {
			t.Fatalf("a slot is free, and %q waits", one.person)
		}
	}
}

func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &queueModel{q: newQueue(modelLimits(t)), passed: make(map[string]map[string]int)}
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "join": m.join, "join too": m.join, "leave": m.leave, "quit": m.quit, "resize": m.resize,
		})
		for len(m.in) > 0 {
			m.leave(t)
			m.check(t)
		}
		if len(m.waiting)+len(m.q.held)+len(m.q.root.children) > 0 {
			t.Fatalf("%d wait at the end, for %v; %d people", len(m.waiting), m.q.held, len(m.q.root.children))
		}
	})
}
