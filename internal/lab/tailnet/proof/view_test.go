package proof_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// get asks from a node, on a connection of its own.
func get(t *testing.T, from *tailnet.Node, url string, header ...string) daemontest.Response {
	t.Helper()
	c := from.Client()
	defer c.CloseIdleConnections()
	return getBy(t, c, url, header...)
}

// getHere sends a request on the node's host, as an ordinary user of it.
func getHere(t *testing.T, node *tailnet.Node, url string, header ...string) daemontest.Response {
	t.Helper()
	c := node.ClientAs(ordinary())
	defer c.CloseIdleConnections()
	return getBy(t, c, url, header...)
}

// getBy keeps the connection open.
func getBy(t *testing.T, c *http.Client, url string, header ...string) daemontest.Response {
	t.Helper()
	c.Timeout = daemontest.Patience
	a, err := daemontest.Ask(c, http.MethodGet, url, "", header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ordinary is the ID of a user who is neither tailscaled's nor the daemon's, if the test is root
// and can be anybody.
func ordinary() int {
	if os.Geteuid() == 0 {
		return 1234
	}
	return os.Geteuid()
}

// shown is what /health says.
type shown struct {
	Status       string     `json:"status"`
	Tailnet      string     `json:"tailnet"`
	Name         string     `json:"tailnet_hostname"`
	IP           string     `json:"tailnet_ip"`
	Backend      string     `json:"tailnet_backend_state"`
	Warnings     []string   `json:"tailnet_warnings"`
	KeyExpiresAt *time.Time `json:"tailnet_key_expires_at"`
	code         int
}

// health asks on the node itself.
func (d *daemon) health() shown {
	d.t.Helper()
	a := getHere(d.t, d.setting.node, d.local()+"/health")
	s := shown{code: a.Status}
	if err := json.Unmarshal([]byte(a.Body), &s); err != nil {
		d.t.Fatalf("%v in %q", err, a.Body)
	}
	return s
}

// metric is the value of one without labels.
func (d *daemon) metric(name string) string {
	d.t.Helper()
	for line := range strings.Lines(getHere(d.t, d.setting.node, d.local()+"/metrics").Body) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name+" "); ok {
			return value
		}
	}
	d.t.Fatalf("no metric %s", name)
	return ""
}

// soon is how fast a change must show once tailscaled itself says it.
const soon = 2 * time.Second

// follows waits until the status shows what tailscaled says since now, and fails if that takes too
// long. The others must show it then.
func (d *daemon) follows(what string, connected bool, backend string, inStatus ...string) {
	d.t.Helper()
	began := time.Now()
	d.notes.Next(d.t, append([]string{"STATUS="}, inStatus...)...)
	took := time.Since(began)
	d.t.Logf("%s: shown after %v", what, took.Round(time.Millisecond))
	if took > soon {
		d.t.Errorf("%s: shown after %v only", what, took)
	}
	code, status, gauge := http.StatusOK, "healthy", "1"
	if !connected {
		code, status, gauge = http.StatusServiceUnavailable, "degraded", "0"
	}
	if h := d.health(); h.code != code || h.Status != status || h.Backend != backend {
		d.t.Errorf("%s: health %+v", what, h)
	}
	if value := d.metric("tailnet_connected"); value != gauge {
		d.t.Errorf("%s: tailnet_connected %s", what, value)
	}
}

// lastStatus is the line that systemctl status shows now.
func (d *daemon) lastStatus() (line string) {
	for _, note := range d.notes.All() {
		if status := daemontest.Field(note, "STATUS"); status != "" {
			line = status
		}
	}
	return line
}

// list is an access list as the configuration has it.
func list(sources ...string) string {
	return fmt.Sprintf("access {\n  allow = [\"%s\"]\n}\n", strings.Join(sources, `", "`))
}

func yesterday() time.Time { return time.Now().Add(-24 * time.Hour) }
