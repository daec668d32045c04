package gateway_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// The gateway refuses the made-up token of "doctor --through", which says then how to look with a
// client that is signed in.
func TestDoctorThroughTheGateway(t *testing.T) {
	t.Parallel()
	dir, socket := daemontest.TempDir(t), daemontest.Listen(t, "proxy")
	file := configure(t, dir, startAPI(t).URL, "")
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command("oauth-proxyd", append(args, "--config", file)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "RUNTIME_DIRECTORY=" + dir}
		return cmd
	}
	serve := command("serve", "--log-format", "json")
	daemontest.Activate(serve, socket)
	log, daemon := start(t, serve)
	log.Next(t, `"msg":"serving"`)
	out, err := command("doctor", "--json", "--through", startGateway(t, socket.URL())).Output()
	daemon.Stop(t)
	var report struct {
		Findings []struct {
			Check, Status, Seen string
			Fix                 []string
		}
	}
	if json.Unmarshal(out, &report) != nil || len(report.Findings) == 0 {
		t.Fatalf("doctor: %v\n%s", err, out)
	}
	last := report.Findings[len(report.Findings)-1]
	if last.Check != "gateway" || last.Status != "unknown" || !strings.Contains(last.Seen, "401") ||
		!strings.Contains(strings.Join(last.Fix, "\n"), "claude gateway") {
		t.Errorf("%+v", last)
	}
}
