package proof_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/lab/tailnet"
)

// answer is one that came whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request with a client and reads its answer to the end.
func ask(c *http.Client, method, url, body string, header ...string) (answer, error) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	response, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	return answer{response.StatusCode, response.Header, string(text)}, err
}

// get asks from a node, on a connection of its own.
func get(t *testing.T, from *tailnet.Node, url string, header ...string) answer {
	t.Helper()
	c := from.Client()
	defer c.CloseIdleConnections()
	c.Timeout = patience
	a, err := ask(c, http.MethodGet, url, "", header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a answer) want(t *testing.T, status int, words ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d; body: %s", a.status, status, a.body)
	}
	for _, w := range words {
		if !strings.Contains(a.body, w) {
			t.Errorf("the body lacks %q: %s", w, a.body)
		}
	}
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
	a := get(d.t, d.setting.node, d.local()+"/health")
	s := shown{code: a.status}
	if err := json.Unmarshal([]byte(a.body), &s); err != nil {
		d.t.Fatalf("%v in %q", err, a.body)
	}
	return s
}

// metric is the value of one without labels.
func (d *daemon) metric(name string) string {
	d.t.Helper()
	for line := range strings.Lines(get(d.t, d.setting.node, d.local()+"/metrics").body) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name+" "); ok {
			return value
		}
	}
	d.t.Fatalf("no metric %s", name)
	return ""
}

// soon is how fast a change must show once tailscaled itself says it.
const soon = 2 * time.Second

// follows waits until the status shows what tailscaled says since now, and fails if that
// takes too long. The others must show it then.
func (d *daemon) follows(what string, connected bool, backend string, inStatus ...string) {
	d.t.Helper()
	began := time.Now()
	d.notes.next(d.t, append([]string{"STATUS="}, inStatus...)...)
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
	for _, note := range d.notes.all() {
		if status := field(note, "STATUS"); status != "" {
			line = status
		}
	}
	return line
}

// eventually waits for what cannot be waited on otherwise.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(patience)
	for !is() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("still not: %s", what)
		}
	}
}

// list is an access list as the configuration has it.
func list(sources ...string) string {
	return fmt.Sprintf("access {\n  allow = [\"%s\"]\n}\n", strings.Join(sources, `", "`))
}

func yesterday() time.Time { return time.Now().Add(-24 * time.Hour) }
