package doctor_test

import (
	"strings"
	"testing"

	"oauth-proxyd/internal/doctor"
)

func TestNotRunning(t *testing.T) {
	service := func(active, result, status string) string {
		return "Id=oauth-proxyd.service\nLoadState=loaded\nActiveState=" + active + "\nResult=" + result + "\nExecMainStatus=" + status + "\n\n"
	}
	const (
		listens = "Id=oauth-proxyd.socket\nLoadState=loaded\nActiveState=active\nListen=[::]:8080 (Stream)\n"
		closed  = "Id=oauth-proxyd.socket\nLoadState=loaded\nActiveState=inactive\nListen=[::]:8080 (Stream)\n"
		second  = "\nId=batch.socket\nLoadState=loaded\nActiveState=active\nListen=/run/batch.sock (Stream)\n"
	)
	for name, row := range map[string]struct{ shown, idle, seen, fix string }{
		"idle":                {service("inactive", "success", "0") + listens, "[::]:8080", "oauth-proxyd.socket listens on [::]:8080; the first request starts it", ""},
		"idle on two":         {service("inactive", "success", "0") + listens + second, "[::]:8080 /run/batch.sock", "listens on [::]:8080, /run/batch.sock", ""},
		"refused":             {service("failed", "exit-code", "78") + listens, "", "stopped: the configuration was refused, exit 78", "oauth-proxyd check"},
		"no login":            {service("failed", "exit-code", "77") + listens, "", "stopped: tailscaled needs a login or an approval, exit 77", "tailscale status"},
		"no tailnet":          {service("failed", "exit-code", "69") + listens, "", "the tailnet could not be reached, exit 69", "journalctl"},
		"killed":              {service("failed", "signal", "9") + listens, "", "stopped: killed (signal 9)", "journalctl"},
		"out of memory":       {service("activating", "oom-kill", "9") + listens, "", "keeps restarting: killed, out of memory", "journalctl"},
		"watchdog":            {service("activating", "watchdog", "6") + listens, "", "keeps restarting: killed by systemd's watchdog", "journalctl"},
		"stopped by somebody": {service("inactive", "success", "0") + closed, "", "oauth-proxyd.socket and oauth-proxyd.service are not active", "systemctl enable --now oauth-proxyd.socket"},
		"it runs":             {service("active", "success", "0") + listens, "", "", ""},
		"it starts":           {service("activating", "success", "0") + listens, "", "", ""},
	} {
		f, idle := doctor.NotRunningBy(row.shown)
		if strings.Join(idle, " ") != row.idle {
			t.Errorf("%s: idle on %q", name, idle)
		}
		if f == nil {
			f = &doctor.Finding{}
		}
		if !strings.Contains(f.Seen, row.seen) || (f.Seen == "") != (row.seen == "") || !strings.Contains(strings.Join(f.Fix, "\n"), row.fix) {
			t.Errorf("%s: %+v", name, *f)
		}
	}
}
