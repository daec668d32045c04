package proof_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

func TestTheExpiryOfTheKeyIsForetold(t *testing.T) {
	t.Parallel()
	_, node := newHost(t, false)
	d := start(t, setting{node: node})
	const day = 24 * time.Hour
	expire := func(left time.Duration) {
		t.Helper()
		at := time.Now().Add(left).Truncate(time.Second)
		node.SetKeyExpiry(at)
		daemontest.Eventually(t, "expiry in /health", func() bool {
			h := d.health()
			return h.KeyExpiresAt != nil && h.KeyExpiresAt.Equal(at)
		})
		value, err := strconv.ParseFloat(d.metric("tailnet_key_expiry_timestamp_seconds"), 64)
		if err != nil || int64(value) != at.Unix() {
			t.Errorf("metric %v, %v, want %v", value, err, at.Unix())
		}
	}
	expire(15 * day)
	expire(13 * day)
	d.log.Next(t, "expires soon", "tailscale up --force-reauth", `"within_ms":1209600000`)
	expire(12 * day)
	expire(2 * day)
	d.log.Next(t, "expires soon", `"within_ms":259200000`)
	expire(day)
	if n := d.log.Count("expires soon"); n != 2 {
		t.Errorf("%d warnings, want one for two weeks and one for three days", n)
	}
	node.SetKeyExpiry(time.Time{})
	daemontest.Eventually(t, "no expiry in /health", func() bool { return d.health().KeyExpiresAt == nil })
}

func TestAWarningShowsOnceItLasts(t *testing.T) {
	t.Parallel()
	_, node := newHost(t, false)
	tap := newTap(t, node)
	d := start(t, setting{node: node, env: tap.env()})
	node.Warn("the moon is full")
	if w := d.health().Warnings; len(w) > 0 {
		t.Errorf("warnings %q at once", w)
	}
	d.log.Next(t, "tailscaled warns", "the moon is full")
	if w := d.health().Warnings; len(w) != 1 {
		t.Errorf("warnings %q", w)
	}
	if n := d.metric("tailnet_health_warnings"); n != "1" {
		t.Errorf("metric %s", n)
	}
	node.Warn("the tide is low") // and passes
	daemontest.Eventually(t, "the first warning gone", func() bool { return len(d.health().Warnings) == 0 })
	node.Warn()
	if h := d.health(); h.Status != "healthy" {
		t.Errorf("a warning makes it %s", h.Status)
	}
	if d.log.Count("the tide is low") > 0 {
		t.Error("a warning that did not last was logged")
	}
	// Ten seconds have passed. What was read beyond a start, three changes and the warning's time
	// would be polling.
	if n := tap.count(statusPath); n > 9 {
		t.Errorf("read the status %d times with the bus open", n)
	}
}

func TestTheModeOfTailscaledIsLogged(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		_, node := newHost(t, tun)
		d := start(t, setting{node: node})
		d.log.Next(t, "the tailnet is connected", fmt.Sprintf(`"userspace":%t`, !tun), `"tailscaled":"1.`)
	})
}

func TestWithoutTheBusItPolls(t *testing.T) {
	t.Parallel()
	_, node := newHost(t, false)
	tap := newTap(t, node, busPath)
	d := start(t, setting{node: node, env: tap.env()})
	daemontest.Eventually(t, "the fourth time that the bus was refused", func() bool { return tap.count(busPath) >= 4 })
	node.Down() // a change shows within ten seconds
	d.notes.Next(t, "STATUS=", "run `tailscale up`")
	node.Up()
	d.notes.Next(t, "STATUS=", "tailnet connected")
}

func TestAFailedDialStartsNoProcess(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*tailnet.Node){"stopped": (*tailnet.Node).Stop, "killed": (*tailnet.Node).Kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, node := newHost(t, false)
			dir := t.TempDir()
			for _, command := range []string{"systemctl", "tailscale"} {
				script := fmt.Sprintf("#!/bin/sh\necho run >>%s/%s.runs\nexit 1\n", dir, command)
				if err := os.WriteFile(filepath.Join(dir, command), []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			d := start(t, setting{node: node, env: []string{"PATH=" + dir + ":" + os.Getenv("PATH")}})
			began := time.Now()
			end(node)
			d.notes.Next(t, "STATUS=", "tailnet not connected")
			daemontest.Eventually(t, "the third run of the command", func() bool { return runs(dir, "tailscale") >= 3 })
			if took := time.Since(began); took < 2*time.Second { // the second after 1 s, the third 2 s later
				t.Errorf("the command ran three times in %v", took)
			}
			if n := runs(dir, "systemctl"); n > 0 {
				t.Errorf("systemctl ran %d times", n)
			}
			node.Run()
			node.Await("Running")
			d.follows("tailscaled came back", true, "Running", "tailnet connected")
		})
	}
}

func runs(dir, command string) int {
	text, _ := os.ReadFile(filepath.Join(dir, command+".runs")) // not there: none
	return strings.Count(string(text), "run")
}

func TestOneConnectionIsAskedAboutOnce(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab, node := newHost(t, tun)
		peer := lab.Node(tailnet.Spec{Name: "peer", TUN: tun})
		tap := newTap(t, node)
		d := start(t, setting{node: node, upstream: newGated(t, node).url, env: tap.env()})
		for connection := range 3 {
			client := peer.Client()
			for range 20 {
				a, err := daemontest.Ask(client, "GET", d.url()+"/x", "")
				if err != nil {
					t.Fatal(err)
				}
				a.Want(t, 200, "GET /x")
			}
			client.CloseIdleConnections()
			if n := tap.count(whoisPath); n != connection+1 {
				t.Errorf("asked %d times about %d connections", n, connection+1)
			}
		}
	})
}
