package doctor_test

import (
	"testing"

	"oauth-proxyd/internal/doctor"
)

func TestWhatSystemdSaysOfTheUnits(t *testing.T) {
	const (
		running = "Result=success\nExecMainStatus=0\nLoadState=loaded\nActiveState=active\n"
		stopped = "Result=success\nExecMainStatus=0\nLoadState=loaded\nActiveState=inactive\n"
		absent  = "LoadState=not-found\nActiveState=inactive\n"
		listens = "\nId=oauth-proxyd.socket\nResult=success\nListen=[::]:8080 (Stream)\nLoadState=loaded\nActiveState=active\n"
		reopen  = "systemctl stop oauth-proxyd.service oauth-proxyd.socket && systemctl start oauth-proxyd.socket"
		silent  = "\nResult=success\nListen=[::]:8080 (Stream)\nLoadState=loaded\nActiveState=inactive\n"
	)
	failed := func(result, code string) string {
		return "Result=" + result + "\nExecMainStatus=" + code + "\nLoadState=loaded\nActiveState=failed\n"
	}
	for _, row := range []struct {
		name, shown string
		status      doctor.Status
		words       []string
	}{
		{"both are active", running + listens, doctor.OK, []string{"oauth-proxyd.service is active"}},
		{"it waits for a client", stopped + listens, doctor.OK, []string{"starts with the first request"}},
		{"neither is active", stopped + silent, doctor.Fail, []string{"systemctl enable --now oauth-proxyd.socket"}},
		{"without a socket unit", stopped + "\n" + absent, doctor.Fail, []string{"inactive", "systemctl start oauth-proxyd.service"}},
		{"the configuration is bad", failed("exit-code", "78") + listens, doctor.Fail, []string{"exit code 78", "oauth-proxyd check"}},
		{"tailscaled wants a login", failed("exit-code", "77") + listens, doctor.Fail, []string{"tailscale login"}},
		{"it crashed", failed("signal", "11") + listens, doctor.Fail, []string{"signal", "journalctl -u oauth-proxyd"}},
		{"again and again", "ExecMainStatus=1\nLoadState=loaded\nActiveState=activating\n" + listens, doctor.Fail, []string{"again and again"}},
		{
			"the socket failed", stopped + "\nResult=trigger-limit-hit\nLoadState=loaded\nActiveState=failed\n", doctor.Fail,
			[]string{"trigger-limit-hit", "systemctl reset-failed oauth-proxyd.socket"},
		},
		{
			"it runs, and the socket failed", running + "\nResult=resources\nLoadState=loaded\nActiveState=failed\n", doctor.Fail,
			[]string{"oauth-proxyd.service runs without it", "oauth-proxyd.socket failed (resources)", "ss -ltnp", "systemctl restart oauth-proxyd.service"},
		},
		{
			"it runs, and the socket is masked", running + "\nLoadState=masked\nActiveState=inactive\n", doctor.Warn,
			[]string{"after a stop nobody listens", "systemctl unmask oauth-proxyd.socket"},
		},
		{
			"it runs, and the socket was masked since", running + "\nId=oauth-proxyd.socket\nLoadState=masked\nActiveState=active\n", doctor.Warn,
			[]string{"a restart of oauth-proxyd.service loses the port", "systemctl unmask oauth-proxyd.socket", reopen},
		},
		{
			"it runs, and a second socket failed", running + listens + "\nId=batch.socket\nResult=resources\nLoadState=loaded\nActiveState=failed\n", doctor.Fail,
			[]string{"batch.socket failed (resources)", "systemctl status batch.socket"},
		},
		{
			"the socket is masked", stopped + "\nLoadState=masked\nActiveState=inactive\n", doctor.Fail,
			[]string{"oauth-proxyd.socket is masked", "systemctl unmask oauth-proxyd.socket", "systemctl enable --now oauth-proxyd.socket"},
		},
		{"masked", "LoadState=masked\nActiveState=inactive\n" + listens, doctor.Fail, []string{"systemctl unmask"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			f, installed := doctor.JudgeUnits(row.shown)
			if !installed || f.Status != row.status || lacks(f, row.words) {
				t.Errorf("%+v, want %s with %q", f, row.status, row.words)
			}
		})
	}
	if _, installed := doctor.JudgeUnits(absent + "\n" + absent); installed {
		t.Error("units that are not there")
	}
}

func TestSocketThatDoesNotListen(t *testing.T) {
	t.Parallel()
	const socket = "\nId=oauth-proxyd.socket\nListen=[::]:8080 (Stream)\nLoadState=loaded\nActiveState=active\n"
	for _, row := range []struct {
		service string
		status  doctor.Status
		then    string
	}{
		{"active", doctor.Warn, "a restart of oauth-proxyd.service loses the port"},
		{"inactive", doctor.Fail, "no client can connect"},
	} {
		words := []string{
			"systemd does not listen on [::]:8080", row.then,
			"systemctl stop oauth-proxyd.service oauth-proxyd.socket && systemctl start oauth-proxyd.socket",
		}
		f, _ := doctor.JudgeUnits("LoadState=loaded\nActiveState="+row.service+"\n"+socket, "[::]:8080")
		if f.Status != row.status || lacks(f, words) {
			t.Errorf("%+v, want %s with %q", f, row.status, words)
		}
	}
}
