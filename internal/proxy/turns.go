package proxy

import (
	"cmp"
	"container/list"

	"oauth-proxyd/internal/access"
)

// line is a node of a tree of waiting requests: the root holds people, a person holds sessions, and
// a session holds requests. Only nodes with waiting requests are in it. The queue's lock guards it.
//
// Slots go round the lines of a node. A new line has the last turn. A turn is one slot, or as many
// as a person's weight. So one of n people waits for at most n-1 turns of others, however much
// these send.
type line struct {
	name   string
	parent *line        // nil for the root
	share  access.Share // only of a person

	waiting  int       // requests below
	newest   uint64    // arrival number of the newest one
	requests list.List // of *ticket: only of a session, the oldest first

	lines map[string]*line
	turns list.List // of *line: the lines that may get a slot, the next first

	turn  *list.Element // in the parent's turns; nil: it may get no slot
	slots int           // slots in its current turn so far
}

// push adds a request and returns the line of its person.
func (q *queue) push(t *ticket) *line {
	person := q.all.line(t.person)
	person.share = t.share
	t.line = person.line(t.session)
	t.line.takeTurns(true)
	t.element = t.line.requests.PushBack(t)
	q.arrivals++
	for l := t.line; l != nil; l = l.parent {
		l.waiting++
		l.newest = q.arrivals
	}
	return person
}

// remove removes a request, and the lines that become empty.
func (q *queue) remove(t *ticket) {
	t.line.requests.Remove(t.element)
	q.all.waiting--
	for l := t.line; l.parent != nil; l = l.parent {
		if l.waiting--; l.waiting == 0 {
			l.takeTurns(false)
			delete(l.parent.lines, l.name)
		}
	}
	t.line, t.element = nil, nil
}

// line returns the child of that name, and adds it if necessary.
func (l *line) line(name string) *line {
	child := l.lines[name]
	if child == nil {
		child = &line{name: name, parent: l}
		if l.lines == nil {
			l.lines = make(map[string]*line)
		}
		l.lines[name] = child
	}
	return child
}

// takeTurns says whether l may get slots.
func (l *line) takeTurns(may bool) {
	switch turns := &l.parent.turns; {
	case may && l.turn == nil:
		l.turn = turns.PushBack(l)
	case !may && l.turn != nil:
		turns.Remove(l.turn)
		l.turn, l.slots = nil, 0
	}
}

// served counts a slot that l got, and ends its turn if that was the last one.
func (l *line) served() {
	if l.slots++; l.slots >= l.share.Turn() {
		l.slots = 0
		l.parent.turns.MoveToBack(l.turn)
	}
}

// next returns the request whose turn it is, or nil if none may get a slot.
func (l *line) next() *ticket {
	if l.requests.Len() > 0 {
		return l.requests.Front().Value.(*ticket)
	}
	if l.turns.Len() > 0 {
		return l.turns.Front().Value.(*line).next()
	}
	return nil
}

// last returns the newest request of the line with most waiting ones, or of several such lines the
// one with the newest request. There must be one. It looks at each line, but only when the queue is
// full.
func (l *line) last() *ticket {
	if l.requests.Len() > 0 {
		return l.requests.Back().Value.(*ticket)
	}
	largest := &line{}
	for _, one := range l.lines {
		if cmp.Or(cmp.Compare(one.waiting, largest.waiting), cmp.Compare(one.newest, largest.newest)) > 0 {
			largest = one
		}
	}
	return largest.last()
}

// order returns the requests that may get slots, in the order in which they will get them if no
// other request comes or leaves.
func (l *line) order() (all []*ticket) {
	for e := l.requests.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*ticket))
	}
	type part struct {
		waiting     []*ticket
		first, turn int
	}
	var parts []part
	for e := l.turns.Front(); e != nil; e = e.Next() {
		child := e.Value.(*line)
		parts = append(parts, part{child.order(), child.share.Turn() - child.slots, child.share.Turn()})
	}
	for len(parts) > 0 {
		p := parts[0]
		n := min(max(p.first, 1), len(p.waiting))
		all = append(all, p.waiting[:n]...)
		if parts = parts[1:]; n < len(p.waiting) {
			parts = append(parts, part{p.waiting[n:], p.turn, p.turn})
		}
	}
	return all
}
