package path_test

import (
	"fmt"
	"testing"
)

// Addresses of a network.
const (
	nearAddress  = "10.88.1.2"
	otherAddress = "10.88.1.3" // the near host's own too, once it takes the other route
	farAddress   = "10.88.2.2"
	lostAddress  = "10.88.3.1" // packets to it are lost
	deadAddress6 = "fd88:3::1" // likewise
)

// network is a near host and a far one, with a router between them.
type network struct{ near, router, far *host }

// newNetwork makes one in which the near host has these lines in its files.
func newNetwork(t *testing.T, hosts, resolv string) *network {
	t.Helper()
	n := &network{near: newHost(t, hosts, resolv), router: newHost(t, "", ""), far: newHost(t, "", "")}
	n.router.run(fmt.Sprintf(`
		ip link add near0 type veth peer name eth0 netns %d
		ip link add far0 type veth peer name eth0 netns %d
		ip address add 10.88.1.1/24 dev near0
		ip address add fd88:1::1/64 dev near0 nodad
		ip address add 10.88.2.1/24 dev far0
		ip link set near0 up
		ip link set far0 up
		ip route add blackhole %s
		ip -6 route add blackhole %s
		echo 1 >/proc/sys/net/ipv4/ip_forward`, n.near.pid, n.far.pid, lostAddress, deadAddress6))
	n.near.run(`
		ip address add ` + nearAddress + `/24 dev eth0
		ip address add fd88:1::2/64 dev eth0 nodad
		ip link set eth0 up
		ip route add default via 10.88.1.1
		ip -6 route add default via fd88:1::1`)
	n.far.run(`
		ip address add ` + farAddress + `/24 dev eth0
		ip link set eth0 up
		ip route add default via 10.88.2.1`)
	return n
}

// cut has the router lose all packets of the near host's first address, without a word.
func (n *network) cut() {
	n.near.t.Helper()
	n.router.run("ip rule add from " + nearAddress + " blackhole\nip rule add to " + nearAddress + " blackhole")
}

// restore ends a cut.
func (n *network) restore() {
	n.near.t.Helper()
	n.router.run("ip rule del from " + nearAddress + " blackhole\nip rule del to " + nearAddress + " blackhole")
}

// takeOtherRoute gives new connections of the near host another address, which no cut concerns.
// Those that exist keep theirs.
func (n *network) takeOtherRoute() {
	n.near.t.Helper()
	n.near.run("ip address add " + otherAddress + "/24 dev eth0\nip route replace default via 10.88.1.1 src " + otherAddress)
}
