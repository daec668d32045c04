package proxy

import (
	"cmp"
	"container/list"

	"oauth-proxyd/internal/access"
)

// node is a node of a tree of waiting requests: the root's children are people, a person's children
// are sessions, and a session has requests. Only nodes with waiting requests are in the tree. The
// queue's lock guards it.
//
// The children of a node take turns in a ring, which a new child joins last. A turn is one slot, or
// as many as a person's weight. So one of n people waits for at most n-1 turns of others, however
// many requests the others send.
type node struct {
	name   string
	parent *node        // nil for the root
	share  access.Share // only of a person

	waiting  int       // requests below
	newest   uint64    // arrival number of the newest one
	requests list.List // of *ticket: only of a session, the oldest first

	children map[string]*node
	ring     list.List // of *node: the children that may get a slot, the next first

	inRing *list.Element // in the parent's ring; nil: it may get no slot
	slots  int           // slots in its current turn so far
}

// push adds a request and returns the node of its person.
func (q *queue) push(t *ticket) *node {
	person := q.root.child(t.person)
	person.share = t.share
	t.node = person.child(t.session)
	t.node.takeTurns(true)
	t.element = t.node.requests.PushBack(t)
	q.arrivals++
	for n := t.node; n != nil; n = n.parent {
		n.waiting++
		n.newest = q.arrivals
	}
	return person
}

// remove removes a request, and the nodes that become empty.
func (q *queue) remove(t *ticket) {
	t.node.requests.Remove(t.element)
	q.root.waiting--
	for n := t.node; n.parent != nil; n = n.parent {
		if n.waiting--; n.waiting == 0 {
			n.takeTurns(false)
			delete(n.parent.children, n.name)
		}
	}
	t.node, t.element = nil, nil
}

// child returns the child of that name, and adds it if necessary.
func (n *node) child(name string) *node {
	child := n.children[name]
	if child == nil {
		child = &node{name: name, parent: n}
		if n.children == nil {
			n.children = make(map[string]*node)
		}
		n.children[name] = child
	}
	return child
}

// takeTurns says whether n may get slots.
func (n *node) takeTurns(may bool) {
	switch ring := &n.parent.ring; {
	case may && n.inRing == nil:
		n.inRing = ring.PushBack(n)
	case !may && n.inRing != nil:
		ring.Remove(n.inRing)
		n.inRing, n.slots = nil, 0
	}
}

// served counts a slot that n got, and ends its turn if that was the last one.
func (n *node) served() {
	if n.slots++; n.slots >= n.share.Turn() {
		n.slots = 0
		n.parent.ring.MoveToBack(n.inRing)
	}
}

// next returns the request whose turn it is, or nil if none may get a slot.
func (n *node) next() *ticket {
	if n.requests.Len() > 0 {
		return n.requests.Front().Value.(*ticket)
	}
	if n.ring.Len() > 0 {
		return n.ring.Front().Value.(*node).next()
	}
	return nil
}

// last returns the newest request of the child with most waiting ones, or of several such children
// the one with the newest request. There must be one. It looks at all children, but only when the
// queue is full.
func (n *node) last() *ticket {
	if n.requests.Len() > 0 {
		return n.requests.Back().Value.(*ticket)
	}
	largest := &node{}
	for _, one := range n.children {
		if cmp.Or(cmp.Compare(one.waiting, largest.waiting), cmp.Compare(one.newest, largest.newest)) > 0 {
			largest = one
		}
	}
	return largest.last()
}

// order returns the requests that may get slots, in the order in which they will get them if no
// other request comes or leaves.
func (n *node) order() (all []*ticket) {
	for e := n.requests.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*ticket))
	}
	type part struct {
		waiting     []*ticket
		first, turn int
	}
	var parts []part
	for e := n.ring.Front(); e != nil; e = e.Next() {
		child := e.Value.(*node)
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
