package proxy

import (
	"container/heap"
	"container/list"

	"oauth-proxyd/internal/access"
)

// line is the requests of a session that wait; or the sessions of a person, or the persons, of whom
// some wait. The queue's lock guards it.
//
// Slots go round. Who begins to wait has the last turn; a turn is one slot, or as many as the
// weight of a person. So one of n persons waits for the turns of n-1 others, whatever they send.
type line struct {
	name   string
	parent *line        // of a session or a person
	share  access.Share // of a person

	waiting  int       // requests
	newest   uint64    // of them, counted by arrivals
	requests list.List // of *ticket: a session's, the oldest first

	lines   map[string]*line
	turns   list.List // of *line: those that may get a slot, the next first
	largest bySize    // all of them

	turn  *list.Element // in turns of the parent; nil: may get no slot
	slots int           // that it got in its present turn
	rank  int           // in largest of the parent
}

// push adds a request, and gives the line of its person.
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

// remove takes a request out, and lines without one.
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

// line is the one of that name, a new one if there is none.
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

// takeTurns lets l get slots, or not.
func (l *line) takeTurns(may bool) {
	switch turns := &l.parent.turns; {
	case may && l.turn == nil:
		l.turn = turns.PushBack(l)
	case !may && l.turn != nil:
		turns.Remove(l.turn)
		l.turn, l.slots = nil, 0
	}
}

// served counts a slot that l got, with which its turn may end.
func (l *line) served() {
	if l.slots++; l.slots >= l.share.Turn() {
		l.slots = 0
		l.parent.turns.MoveToBack(l.turn)
	}
}

// next is the request whose turn it is; nil: none may get a slot.
func (l *line) next() *ticket {
	if l.requests.Len() > 0 {
		return l.requests.Front().Value.(*ticket)
	}
	if l.turns.Len() > 0 {
		return l.turns.Front().Value.(*line).next()
	}
	return nil
}

// last is the newest request of whoever has most waiting. Some must.
func (l *line) last() *ticket {
	if l.requests.Len() > 0 {
		return l.requests.Back().Value.(*ticket)
	}
	return l.largest[0].last()
}

// order is the requests that may get slots in the order in which they do, if nobody comes and
// nobody leaves.
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

// bySize is a heap of lines, that with most waiting first. Of several, the one that got a request
// last is first.
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
