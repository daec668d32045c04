package main_test

import (
	"strings"
	"testing"
)

func TestPrecedence(t *testing.T) {
	t.Parallel()
	const quiet, loud = "error", "debug"
	for _, row := range []struct{ name, file, env, flag, in string }{
		{"only the file", loud, "", "", loud},
		{"environment over file", quiet, loud, "", loud},
		{"environment over file, quiet", loud, quiet, "", quiet},
		{"command line over both", quiet, quiet, loud, loud},
		{"command line over both, quiet", loud, loud, quiet, quiet},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			u := unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet,
				"log {\n  level = \""+row.file+"\"\n}\n")}
			if row.env != "" {
				u.env = []string{"OAUTH_PROXYD_LOG_LEVEL=" + row.env}
			}
			if row.flag != "" {
				u.args = []string{"--log-level", row.flag}
			}
			s := start(t, u)
			s.stop()
			if got := strings.Contains(s.log.Text(), `"level":"debug"`) || strings.Contains(s.log.Text(), `"level":"DEBUG"`); got != (row.in == loud) {
				t.Errorf("debug records in the log: %v, want %v", got, row.in == loud)
			}
		})
	}
}

func TestLogFormatFromTheEnvironment(t *testing.T) {
	t.Parallel()
	for of, begins := range map[string]string{"json": `{"`, "text": "20"} {
		t.Run(of, func(t *testing.T) {
			t.Parallel()
			other := map[string]string{"json": "text", "text": "json"}[of]
			s := start(t, unit{
				config: forwarding("http://127.0.0.1:9", "", withoutTailnet, "log {\n  format = \""+other+"\"\n}\n"),
				asFile: true,
				env:    []string{"OAUTH_PROXYD_LOG_FORMAT=" + of},
			})
			s.stop()
			for _, line := range s.log.All() {
				if !strings.HasPrefix(line, begins) {
					t.Errorf("a line of the log is %s", line)
				}
			}
		})
	}
}

func TestUpstreamFromTheCommandLine(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{
		config: forwarding("http://127.0.0.1:9", "", withoutTailnet),
		args:   []string{"--upstream", u.URL},
	})
	get(t, s.url()+"/echo").Want(t, 200, "GET /echo")
	s.configure(forwarding("http://127.0.0.1:10", "", withoutTailnet))
	if code, _, stderr := s.command("reload"); code != 0 {
		t.Fatalf("reload: %d %s", code, stderr)
	}
	get(t, s.url()+"/echo").Want(t, 200, "GET /echo") // and stays so
}
