package tailnet

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// relay is one DERP server. Nodes on different grounds find each other through it.
type relay struct {
	derp    *derpserver.Server
	serving sync.WaitGroup
	close   []func()
}

func newRelay() *relay {
	return &relay{derp: derpserver.New(key.NewNode(), func(string, ...any) {})}
}

// serve opens the relay and a STUN server on one more ground, and returns the map for the nodes
// there.
func (r *relay) serve(g *ground) (*tailcfg.DERPMap, error) {
	listener, err := g.listen()
	if err != nil {
		return nil, fmt.Errorf("opening the relay: %w", err)
	}
	server := httptest.NewUnstartedServer(derpserver.Handler(r.derp))
	server.Listener.Close()
	server.Listener = listener
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // DERP upgrades HTTP/1.1
	server.StartTLS()
	r.close = append(r.close, func() { server.CloseClientConnections(); server.Close() })
	packets, err := g.listenPacket()
	if err != nil {
		return nil, fmt.Errorf("opening STUN: %w", err)
	}
	r.serving.Go(func() { respondSTUN(packets) })
	r.close = append(r.close, func() { packets.Close() })
	return derpMap(g.address, listener.Addr(), packets.LocalAddr()), nil
}

func (r *relay) end() {
	_ = r.derp.Close() // its connections are closed next anyway
	for _, end := range r.close {
		end()
	}
	r.serving.Wait()
}

// respondSTUN tells each node the address that it comes from.
func respondSTUN(packets *net.UDPConn) {
	buffer := make([]byte, 2048)
	for {
		n, source, err := packets.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		if id, err := stun.ParseBindingRequest(buffer[:n]); err == nil {
			_, _ = packets.WriteToUDPAddrPort(stun.Response(id, source), source) // UDP promises nothing
		}
	}
}

func derpMap(address string, derp, stun net.Addr) *tailcfg.DERPMap {
	node := &tailcfg.DERPNode{
		Name: "lab", RegionID: 1, HostName: address, IPv4: address, IPv6: "none",
		DERPPort: derp.(*net.TCPAddr).Port, STUNPort: stun.(*net.UDPAddr).Port,
		InsecureForTests: true, STUNTestIP: address,
	}
	return &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{
		1: {RegionID: 1, RegionCode: "lab", RegionName: "lab", Nodes: []*tailcfg.DERPNode{node}},
	}}
}
