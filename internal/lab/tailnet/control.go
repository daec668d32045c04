package tailnet

import (
	"context"
	"maps"
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
)

// Domain is the lab's MagicDNS domain.
const Domain = "tail-lab.ts.net"

// keepAlive is how often a node hears from control when there is no news. Nodes give up on it after
// two minutes of silence.
const keepAlive = 50 * time.Second

// taggedUser owns all tagged nodes, as at Tailscale.
const taggedUser = tailcfg.UserID(1 << 40)

// control is Tailscale's test server, with a say of our own in what it tells the nodes: the rules,
// the relay of their ground, users, warnings.
type control struct {
	server    *testcontrol.Server
	servers   []*httptest.Server // one for each ground
	listeners []*cuttable        // likewise

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
	lost    bool          // refuses everybody
	nodes   map[string]*controlled
	current map[key.MachinePublic]key.NodePublic // the last key of each host
	grants  []Grant
}

// controlled is what we have to say about the node of one name.
type controlled struct {
	derp     *tailcfg.DERPMap
	user     string // login name of its owner
	sharedAs string // its name in its own tailnet; empty: it is of this one
	routes   []netip.Prefix
	isolated bool // hears of no relay and no peer
	warnings map[tailcfg.DisplayMessageID]*tailcfg.DisplayMessage
}

func newControl(rules []Rule) *control {
	c := &control{
		changed: make(chan struct{}),
		nodes:   map[string]*controlled{},
		current: map[key.MachinePublic]key.NodePublic{},
		grants:  []Grant{{}},
	}
	c.server = &testcontrol.Server{
		Logf:               func(string, ...any) {},
		MagicDNSDomain:     Domain,
		DNSConfig:          &tailcfg.DNSConfig{Proxied: true, Domains: []string{Domain}},
		TagOwners:          map[string][]string{},
		AllOnline:          true,
		RequireAuth:        slices.Contains(rules, LoginRequired),
		RequireMachineAuth: slices.Contains(rules, ApprovalRequired),
		AltMapStream:       c.serveMap,
	}
	return c
}

// serve opens control on one more ground and returns its URL there.
func (c *control) serve(g *ground) (url string, err error) {
	listener, err := g.listen()
	if err != nil {
		return "", err
	}
	server := httptest.NewUnstartedServer(c.server)
	server.Listener.Close()
	ours := &cuttable{Listener: listener, refuses: c.isLost, open: map[net.Conn]bool{}}
	server.Listener = ours
	server.Start()
	c.listeners, c.servers = append(c.listeners, ours), append(c.servers, server)
	if c.server.ExplicitBaseURL == "" { // of login URLs, which nobody visits
		c.server.ExplicitBaseURL = server.URL
	}
	return server.URL, nil
}

func (c *control) end() {
	c.cut()
	for _, s := range c.servers {
		s.Close()
	}
}

func (c *control) cut() {
	for _, l := range c.listeners {
		l.cut()
	}
}

func (c *control) isLost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// change changes what nodes are told, and tells them.
func (c *control) change(what func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what()
	close(c.changed)
	c.changed = make(chan struct{})
}

// say changes what we have to say about the node of that name.
func (c *control) say(name string, what func(*controlled)) {
	c.change(func() { what(c.nodes[name]) })
}

// edit changes what the server itself knows of a node. It reports whether the node has ever
// registered.
func (c *control) edit(name string, what func(*tailcfg.Node)) (found bool) {
	c.change(func() {
		if node := c.find(name); node != nil {
			found = true
			what(node)
			c.server.UpdateNode(node)
		}
	})
	return found
}

// find returns a copy of the node of that name: of those that ever had it, the one with the key
// that its host uses now.
func (c *control) find(name string) *tailcfg.Node {
	for _, node := range c.server.AllNodes() {
		if hostName(node) == name && c.isCurrent(node) {
			return node
		}
	}
	return nil
}

// isCurrent is false for what a host was before it logged in again.
func (c *control) isCurrent(node *tailcfg.Node) bool {
	return c.current[node.Machine] == node.Key
}

func hostName(node *tailcfg.Node) string {
	if !node.Hostinfo.Valid() {
		return ""
	}
	return node.Hostinfo.Hostname()
}

// serveMap is the long poll by which a node learns all that it knows.
func (c *control) serveMap(ctx context.Context, w testcontrol.MapStreamWriter, req *tailcfg.MapRequest) {
	c.noteRequest(req)
	if !req.Stream {
		_ = w.SendMapMessage(&tailcfg.MapResponse{}) // the poll beside it tells
		return
	}
	for {
		news, changed := c.tell(req)
		if news == nil || w.SendMapMessage(news) != nil {
			return
		}
		for waiting := true; waiting; {
			select {
			case <-changed:
				waiting = false
			case <-time.After(keepAlive):
				if w.SendMapMessage(&tailcfg.MapResponse{KeepAlive: true}) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// noteRequest takes over what a node says of itself.
func (c *control) noteRequest(req *tailcfg.MapRequest) {
	c.change(func() {
		node := c.server.Node(req.NodeKey)
		if node == nil {
			return
		}
		if c.current[node.Machine] != node.Key { // a new key is not as old as the last
			c.current[node.Machine] = node.Key
			node.KeyExpiry = time.Time{}
			c.server.UpdateNode(node)
		}
		if req.Stream { // then the rest of it means nothing
			return
		}
		node.Endpoints, node.DiscoKey, node.Cap = req.Endpoints, req.DiscoKey, req.Version
		if req.Hostinfo != nil {
			node.Hostinfo = req.Hostinfo.View()
			if info := req.Hostinfo.NetInfo; info != nil && info.PreferredDERP != 0 {
				node.HomeDERP = info.PreferredDERP
			}
		}
		c.server.UpdateNode(node)
	})
}

// tell composes all that a node is to know now, and returns what is closed when there is news.
func (c *control) tell(req *tailcfg.MapRequest) (news *tailcfg.MapResponse, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	news, err := c.server.MapResponse(req)
	if err != nil || news == nil {
		return nil, nil
	}
	name := hostName(news.Node)
	ours := c.nodes[name]
	if ours == nil {
		return nil, nil
	}
	news.Peers = slices.DeleteFunc(news.Peers, func(p *tailcfg.Node) bool { return !c.isCurrent(p) })
	news.DERPMap = ours.derp
	// An empty list would be left out of the message, and mean no change.
	news.PacketFilter = nil
	news.PacketFilters = map[string][]tailcfg.FilterRule{"*": nil, "lab": packetFilter(c.grants, name, c.addresses(), ours.routes)}
	news.ControlTime = new(time.Now())
	news.DisplayMessages = map[tailcfg.DisplayMessageID]*tailcfg.DisplayMessage{"*": nil}
	maps.Copy(news.DisplayMessages, ours.warnings)
	c.nameUsers(news)
	c.nameShared(news)
	if ours.isolated {
		news.Peers, news.DERPMap = []*tailcfg.Node{}, &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{}}
	}
	return news, c.changed
}

func (c *control) addresses() map[string][]netip.Prefix {
	all := map[string][]netip.Prefix{}
	for _, node := range c.server.AllNodes() {
		if c.isCurrent(node) {
			all[hostName(node)] = node.Addresses
		}
	}
	return all
}

// nameUsers gives nodes the owners that the lab has for them.
func (c *control) nameUsers(news *tailcfg.MapResponse) {
	owners := map[tailcfg.UserID]string{taggedUser: "tagged-devices"}
	for _, node := range append([]*tailcfg.Node{news.Node}, news.Peers...) {
		if len(node.Tags) > 0 {
			node.User = taggedUser
			continue
		}
		if ours := c.nodes[hostName(node)]; ours != nil && ours.user != "" {
			owners[node.User] = ours.user
		}
	}
	news.UserProfiles = slices.DeleteFunc(news.UserProfiles, func(p tailcfg.UserProfile) bool { return owners[p.ID] != "" })
	for id, name := range owners {
		news.UserProfiles = append(news.UserProfiles, tailcfg.UserProfile{ID: id, LoginName: name, DisplayName: name})
	}
}

// nameShared gives nodes of other tailnets the names that they have there.
func (c *control) nameShared(news *tailcfg.MapResponse) {
	for _, node := range append([]*tailcfg.Node{news.Node}, news.Peers...) {
		if ours := c.nodes[hostName(node)]; ours != nil && ours.sharedAs != "" {
			node.Name = ours.sharedAs + "."
		}
	}
}
