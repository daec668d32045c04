package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// remote is the gateway on one node of a tailnet and the daemon on another, and a peer beside them.
type remote struct {
	stack
	peer *tailnet.Node
	url  string // of the daemon, for peers
}

// newRemote starts all of it. The daemon believes the gateway's node about persons, and no other.
func newRemote(t *testing.T) *remote {
	t.Helper()
	lab := tailnet.Start(t)
	host := lab.Node(tailnet.Spec{Name: "proxy"})
	gateway := lab.Node(tailnet.Spec{Name: "ai", Tags: []string{"tag:gateway"}})
	r := &remote{api: startAPI(t), peer: lab.Node(tailnet.Spec{Name: "laptop", User: "bob@example.com"})}
	local, log := startDaemon(t, r.api.URL, fmt.Sprintf(
		"tailscale {\n  socket = %q\n}\naccess {\n  allow = [\"tailnet\"]\n}\nidentity {\n  from = [\"tag:gateway\"]\n}\n", host.Socket()))
	base, err := url.Parse(local)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(host.DNSName(), base.Port())
	r.daemon, r.url = log, "http://"+address
	r.client = signIn(t, startGateway(t, forward(t, gateway, address)))
	return r
}

// forward is a base URL on this host from which a node of the tailnet connects to an address. The
// gateway knows no SOCKS proxy, through which a node in userspace mode sends.
func forward(t *testing.T, from *tailnet.Node, address string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := from.Dial(t.Context(), "tcp", address)
			if err != nil {
				in.Close()
				continue
			}
			for _, end := range [][2]net.Conn{{in, out}, {out, in}} {
				work.Go(func() {
					_, _ = io.Copy(end[0], end[1]) // the first end that closes closes both
					in.Close()
					out.Close()
				})
			}
		}
	})
	t.Cleanup(func() { listener.Close(); work.Wait() })
	return "http://" + listener.Addr().String()
}

// TestPersonIsBelievedFromGatewayOnly: the person that the gateway names is logged, whatever its
// client claims. The headers of the gateway do nothing when another peer sends them, and the API
// never gets them.
func TestPersonIsBelievedFromGatewayOnly(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	body := message("claude-sonnet-4-5", false)
	r.client.ask(t, body).Want(t, http.StatusOK)
	person := fmt.Sprintf(`"person":%q`, personEmail)
	r.daemon.Next(t, `"path":"/v1/messages"`, `"node":"ai.`+tailnet.Domain+`"`, `"tags":"tag:gateway"`, person, `"status":200`)
	spoofed := []string{"X-Claude-Gateway-User-Email", "mallory@example.com", "X-Claude-Gateway-User-Id", "mallory", "X-Litellm-End-User-Id", "mallory@example.com"}
	if resp := r.client.send(t.Context(), t, "/v1/messages", body, spoofed...); resp.StatusCode != http.StatusOK {
		t.Errorf("status %s", resp.Status)
	}
	r.daemon.Next(t, `"path":"/v1/messages"`, `"node":"ai.`+tailnet.Domain+`"`, person)
	claim := append([]string{"Authorization", "Bearer " + daemontest.OAuthToken, "Content-Type", "application/json"}, spoofed...)
	a, err := daemontest.Ask(r.peer.Client(), http.MethodPost, r.url+"/v1/messages", body, claim...)
	if err != nil {
		t.Fatal(err)
	}
	a.Want(t, http.StatusOK)
	line := r.daemon.Next(t, `"path":"/v1/messages"`, `"node":"laptop.`+tailnet.Domain+`"`, `"user":"bob@example.com"`)
	if strings.Contains(line, `"person"`) || strings.Contains(r.daemon.Text(), "mallory") {
		t.Errorf("a claim was logged: %s", r.daemon.Text())
	}
	r.wantNobodyNamed(t, 3)
}

// wantNobodyNamed looks at the requests that the API received.
func (r *remote) wantNobodyNamed(t *testing.T, requests int) {
	t.Helper()
	seen := r.api.all()
	if len(seen) != requests {
		t.Errorf("the API received %d requests, want %d", len(seen), requests)
	}
	for _, one := range seen {
		for name, values := range one.Header {
			text := strings.ToLower(name + ": " + strings.Join(values, ", "))
			if strings.Contains(text, "gateway-user") || strings.Contains(text, "litellm") || strings.Contains(text, "@example.com") {
				t.Errorf("the API received %s", text)
			}
		}
	}
}
