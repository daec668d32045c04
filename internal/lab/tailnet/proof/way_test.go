package proof_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/labapi"
	"oauth-proxyd/internal/lab/tailnet"
)

const (
	wantedBeta = "oauth-2025-04-20"
	clientBeta = "context-management-2025-06-27"
	message    = `{"model":"claude","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"Hello"}]}`
)

const mergeBeta = `
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
}
`

// way is the whole way of a message: from a gateway through the tailnet to the daemon, and from
// there to the API.
type way struct {
	lab                *tailnet.Lab
	host               *tailnet.Node
	aperture, untagged *tailnet.Node
	api                *messages
	setting            setting
}

func newWay(t *testing.T, tun bool) way {
	t.Helper()
	lab := tailnet.Start(t)
	w := way{
		lab: lab, host: lab.Node(tailnet.Spec{Name: "proxy", TUN: tun}),
		aperture: lab.Node(tailnet.Spec{Name: "aperture", TUN: tun, Tags: []string{"tag:aperture"}}),
		untagged: lab.Node(tailnet.Spec{Name: "twin", TUN: tun}),
	}
	w.api = newMessages(t, w.host)
	w.setting = setting{
		node: w.host, upstream: w.api.URL, proxy: fmt.Sprintf("upstream_ca_file = %q", w.api.caFile),
		blocks: []string{mergeBeta, list("local", "tag:aperture")},
	}
	return w
}

func TestAMessageFromTheGatewayToTheAPIAndBack(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		w := newWay(t, tun)
		w.prove(t, start(t, w.setting))
	})
	if !canTUN(t) {
		return
	}
	t.Run("socket activation", func(t *testing.T) {
		t.Parallel()
		w := newWay(t, true)
		w.prove(t, activate(t, w.setting))
	})
}

// activate has systemd's own command hold the socket and start the daemon for the first client. The
// host is the test's own, and so is its port 8080.
func activate(t *testing.T, s setting) *daemon {
	t.Helper()
	d := newDaemon(t, s)
	d.activated = "8080"
	d.begin(s.node.Command("systemd-socket-activate", "--fdname=proxy", "--listen=8080",
		"-E", "RUNTIME_DIRECTORY="+d.dir, "-E", "NOTIFY_SOCKET="+filepath.Join(d.dir, "notify"),
		"-E", "PATH="+os.Getenv("PATH"), "-E", "TAILSCALE_SOCKET="+s.node.Socket(),
		"oauth-proxyd", "serve", "--config", d.configFile(), "--log-format", "json"))
	d.log.Next(t, "Listening on")
	return d
}

// prove is the list of what a user would try who has set it all up.
func (w way) prove(t *testing.T, d *daemon) {
	t.Helper()
	w.wantLiveStream(t, d)
	d.log.Next(t, `"path":"/v1/messages"`, `"node":"aperture.`+tailnet.Domain+`"`, `"tags":"tag:aperture"`, `"credential":"oauth"`, `"status":200`)
	w.wantRequest(t)
	if w.host.HasTUN() {
		w.wantShortName(t, d)
	}
	a, err := daemontest.Ask(w.untagged.Client(), http.MethodPost, d.url()+"/v1/messages", message, "Authorization", "Bearer "+daemontest.OAuthToken)
	if err != nil {
		t.Fatal(err)
	}
	a.Want(t, http.StatusForbidden, "access_denied")
	d.log.Next(t, `"outcome":"access_denied"`, `"node":"twin.`+tailnet.Domain+`"`)
	w.lab.Grant(tailnet.Grant{To: []*tailnet.Node{w.aperture, w.untagged}})
	w.wantSilence(t, d)
	w.wantDiagnosis(t, d)
	w.lab.Grant(tailnet.Grant{})
	get(t, w.aperture, d.url()+"/health").Want(t, 200, `"status": "healthy"`)
	if strings.Contains(d.log.Text(), daemontest.OAuthToken) {
		t.Error("a credential is in the log")
	}
}

// wantLiveStream has the API hold its response back until its beginning has arrived.
func (w way) wantLiveStream(t *testing.T, d *daemon) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url()+"/v1/messages?beta=true", strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+daemontest.OAuthToken)
	r.Header.Set("Anthropic-Beta", clientBeta)
	r.Header.Set("Content-Type", "application/json")
	res, err := w.aperture.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	reader := bufio.NewReader(res.Body)
	first, err := reader.ReadString('\n')
	if err != nil || first != "event: message_start\n" {
		t.Fatalf("status %s: %v after %q", res.Status, err, first)
	}
	close(w.api.gate)
	rest, err := io.ReadAll(reader)
	if err != nil || !strings.Contains(string(rest), "event: message_stop") {
		t.Errorf("%v after %q", err, rest)
	}
}

// wantRequest looks at what the API received.
func (w way) wantRequest(t *testing.T) {
	t.Helper()
	seen := w.api.requests()
	if len(seen) != 1 {
		t.Fatalf("the API saw %d requests", len(seen))
	}
	r := seen[0]
	if r.Proto != "HTTP/2.0" || r.Target != "/v1/messages?beta=true" || !r.BodyComplete || r.BodyLength != int64(len(message)) {
		t.Errorf("the API saw %+v", r)
	}
	if beta := r.Header.Values("Anthropic-Beta"); !slices.Equal(beta, []string{clientBeta + "," + wantedBeta}) {
		t.Errorf("anthropic-beta is %q", beta)
	}
	sent := http.Header{"Authorization": {"Bearer " + daemontest.OAuthToken}}
	if r.CredentialSHA256 != labapi.CredentialSHA256(sent) {
		t.Error("the credential did not arrive as it was sent")
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "Tailscale-") || strings.HasPrefix(name, "X-Forwarded-") || name == "Via" || name == "Forwarded" {
			t.Errorf("the API was told %s", name)
		}
	}
}

// wantShortName has the gateway's own resolver find the name without the domain.
func (w way) wantShortName(t *testing.T, d *daemon) {
	t.Helper()
	curl := w.aperture.Command("curl", "--silent", "--show-error", "--max-time", "30",
		"--header", "Authorization: Bearer "+daemontest.OAuthToken, "--header", "Content-Type: application/json",
		"--data", message, "http://proxy:"+d.port()+"/v1/messages")
	out, err := curl.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "event: message_stop") {
		t.Errorf("curl http://proxy: %v: %s", err, out)
	}
}

// wantSilence is what a packet filter does to the gateway: it is never refused.
func (w way) wantSilence(t *testing.T, d *daemon) {
	t.Helper()
	daemontest.Eventually(t, "the new rules", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := w.aperture.Dial(ctx, "tcp", w.host.Addr().String()+":"+d.port())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url()+"/v1/messages/silence", strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	res, err := w.aperture.Client().Do(r)
	if err == nil {
		res.Body.Close()
		t.Fatalf("status %s although the rules forbid it", res.Status)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want a silence", err)
	}
	if d.log.Count("/v1/messages/silence") > 0 {
		t.Error("the request was logged, so it came")
	}
}

// wantDiagnosis has doctor say why the gateway hears nothing.
func (w way) wantDiagnosis(t *testing.T, d *daemon) {
	t.Helper()
	p := &patient{t: t, node: w.host, dir: d.dir}
	found := p.look("--peer", "aperture").of("peer")
	for _, words := range []string{
		"fail: the tailnet's policy does not let aperture." + tailnet.Domain + " (tag:aperture) reach port " + d.port(),
		"time out", `"src": ["tag:aperture"]`, `"ip": ["tcp:` + d.port() + `"]`,
	} {
		if !strings.Contains(found, words) {
			t.Errorf("doctor does not say %q: %s", words, found)
		}
	}
}

// TestItNeedsNoRight runs as nobody beside a tailscaled that is root's.
func TestItNeedsNoRight(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab := tailnet.Start(t)
		host := lab.Node(tailnet.Spec{Name: "proxy", TUN: tun})
		peer := lab.Node(tailnet.Spec{Name: "aperture", TUN: tun, Tags: []string{"tag:aperture"}})
		d := start(t, setting{
			node: host, upstream: newGated(t, host).url, nobody: os.Geteuid() == 0,
			blocks: []string{list("local", "tag:aperture")},
		})
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.process.PID))
		if err != nil || os.Geteuid() == 0 && !strings.Contains(string(status), fmt.Sprintf("Uid:\t%[1]d\t%[1]d", nobody)) {
			t.Fatalf("not nobody: %v\n%s", err, status)
		}
		get(t, peer, d.url()+"/x").Want(t, 200, "GET /x")
		d.log.Next(t, `"path":"/x"`, `"tags":"tag:aperture"`)
		host.Down()
		d.follows("tailscale down", false, "Stopped", "tailscale up")
		host.Up()
		d.follows("tailscale up", true, "Running", "tailnet connected")
		host.Stop()
		d.follows("tailscaled stopped", false, "", "systemctl start tailscaled")
		host.Run()
		host.Await("Running")
		d.follows("tailscaled started", true, "Running", "tailnet connected")
		d.stop()
	})
}
