package proxy

import (
	"container/heap"
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

	lines   map[string]*line
	turns   list.List // of *line: the lines that may get a slot, the next first
	largest bySize    // all lines

	turn  *list.Element // in the parent's turns; nil: it may get no slot
	slots int           // slots in its present turn so far
	rank  int           // index in the parent's largest
}

// push adds a request and returns the line of its person.
func (q *queue) push(t *ticket) *line {
	person := q.all.line(t.person)
	person.share = t.share
	t.line = person.line(t.session)
	t.line.takeTurns(true)
	t.element = t.line.requests.PushBack(t)
	q.arrivals++
	q.all.waiting++
	for l := t.line; l.parent != nil; l = l.parent {
		l.waiting++
		l.newest = q.arrivals
		heap.Fix(&l.parent.largest, l.rank)
	}
	return person
}

// remove removes a request, and the lines that become empty.
func (q *queue) remove(t *ticket) {
	t.line.requests.Remove(t.element)
	q.all.waiting--
	for l := t.line; l.parent != nil; l = l.parent {
		l.waiting--
		heap.Fix(&l.parent.largest, l.rank)
		if l.waiting == 0 {
			l.takeTurns(false)
			heap.Remove(&l.parent.largest, l.rank)
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
		heap.Push(&l.largest, child)
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

// last returns the newest request of the line with most waiting ones. There must be one.
func (l *line) last() *ticket {
	if l.requests.Len() > 0 {
		return l.requests.Back().Value.(*ticket)
	}
	return l.largest[0].last()
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

// bySize is a heap of lines. The line with most waiting requests is first; of several, the one with
// the newest request.
type bySize []*line

func (s bySize) Len() int { return len(s) }

func (s bySize) Less(i, j int) bool {
	return s[i].waiting > s[j].waiting || s[i].waiting == s[j].waiting && s[i].newest > s[j].newest
}

func (s bySize) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].rank, s[j].rank = i, j
}

func (s *bySize) Push(l any) {
	l.(*line).rank = len(*s)
	*s = append(*s, l.(*line))
}

func (s *bySize) Pop() any {
	last := len(*s) - 1
	l := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return l
}
