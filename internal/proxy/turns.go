package proxy

import "slices"

// node is a node of a tree of waiting requests: the root's children are people, a person's children
// are sessions, and a session has requests. Only nodes with waiting requests are in the tree. The
// queue's lock guards it.
//
// The children of a node take turns, and a new child joins last. A turn is one slot, or as many as
// a person's weight. So one of n people waits for at most n-1 turns of others, however many
// requests the others send.
type node struct {
	name   string
	parent *node // nil for the root
	turn   int   // slots per turn: for a person, the weight of the latest request

	waiting  int       // requests below
	requests []*ticket // only of a session, the oldest first
	children []*node   // in the order of their turns
	slots    int       // slots in its current turn so far
}

func (q *queue) push(t *ticket) {
	person := q.root.join(t.person)
	person.turn = t.share.Turn()
	t.node = person.join(t.session)
	t.node.requests = append(t.node.requests, t)
	for n := t.node; n != nil; n = n.parent {
		n.waiting++
	}
}

// remove removes a request, and the nodes that become empty.
func (q *queue) remove(t *ticket) {
	t.node.requests = without(t.node.requests, t)
	q.root.waiting--
	for n := t.node; n.parent != nil; n = n.parent {
		if n.waiting--; n.waiting == 0 {
			n.parent.children = without(n.parent.children, n)
		}
	}
	t.node = nil
}

// without returns list without one.
func without[T comparable](list []T, one T) []T {
	i := slices.Index(list, one)
	return slices.Delete(list, i, i+1)
}

// child returns the child of that name, or nil.
func (n *node) child(name string) *node {
	i := slices.IndexFunc(n.children, func(child *node) bool { return child.name == name })
	if i < 0 {
		return nil
	}
	return n.children[i]
}

// join returns the child of that name, and adds it if necessary.
func (n *node) join(name string) *node {
	child := n.child(name)
	if child == nil {
		child = &node{name: name, parent: n, turn: 1}
		n.children = append(n.children, child)
	}
	return child
}

// served counts a slot that n got, and ends its turn if that was the last one.
func (n *node) served() {
	if n.slots++; n.slots >= n.turn {
		n.slots = 0
		n.parent.children = append(without(n.parent.children, n), n)
	}
}

// next returns the request whose turn it is, or nil if none may get a slot.
func (n *node) next(may func(*node) bool) *ticket {
	if len(n.requests) > 0 {
		return n.requests[0]
	}
	if i := slices.IndexFunc(n.children, may); i >= 0 {
		return n.children[i].next(may)
	}
	return nil
}

// last returns the newest request of the child with most waiting ones, or of several such children
// the one whose turn is last. There must be one. It looks at all children, but only when the queue
// is full.
func (n *node) last() *ticket {
	if most := len(n.requests); most > 0 {
		return n.requests[most-1]
	}
	largest := n.children[0]
	for _, one := range n.children {
		if one.waiting >= largest.waiting {
			largest = one
		}
	}
	return largest.last()
}
