package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

func TestDoctorPrintsConfigurationToPaste(t *testing.T) {
	t.Parallel()
	d := runTailscaled(t, "Running")
	d.Deliver("") // without a network device there is no address to try
	s := start(t, unit{config: forwarding(newUpstream(t).URL, "", onTailnet(d, "wait"))})
	if _, out, _ := s.command("doctor", "--config", s.file()); strings.Contains(out, "ANTHROPIC_BASE_URL") {
		t.Errorf("nobody asked what to paste\n%s", out)
	}
	_, out, _ := s.command("doctor", "--paste", "--config", s.file()) // the fake tailscaled leaves it something to find
	_, paste, found := strings.Cut(strings.Join(strings.Fields(out), " "), "for Aperture: ")
	if !found || !strings.Contains(lastLine(out), "fix first") || !daemontest.ContainsAll(paste, []string{
		`"baseurl": "http://100.64.0.7:`, `"auth_mode": "passthrough"`,
		`{ "env": {"ANTHROPIC_BASE_URL": "http://100.64.0.7:`,
		"only this. An apiKeyHelper, ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN disables the login of the subscription",
		"no Remote Control", `"ENABLE_TOOL_SEARCH": "true"`, `"CLAUDE_CODE_ENABLE_FINE_GRAINED_TOOL_STREAMING": "1"`,
	}) {
		t.Errorf("doctor ends\n%s", out)
	}
}

// Without the right to ask the daemon, its steps are unknown, and say how to make them.
func TestDoctorWithoutRights(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding(newUpstream(t).URL, "", withoutTailnet)})
	_, out, _ := s.commandAsNobody("doctor", "--config", s.file(), "--through", s.url())
	out = strings.Join(strings.Fields(out), " ")
	for _, words := range []string{
		"unknown daemon only root and the group oauth-proxyd may ask the daemon",
		"unknown gateway " + s.url() + " was not tried: only root and the group oauth-proxyd",
		"-> sudo oauth-proxyd doctor # with the same options",
	} {
		if !strings.Contains(out, words) {
			t.Errorf("doctor does not say %q:\n%s", words, out)
		}
	}
	if strings.Contains(out, "oauth-proxyd serve") {
		t.Errorf("doctor suggests a second daemon:\n%s", out)
	}
}

// An upstream that sends more than its response must not have its bytes printed.
func TestDoctorHidesBytesOfTheUpstream(t *testing.T) {
	t.Parallel()
	u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n5ecret")
	}))
	t.Cleanup(u.Close)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	if _, out, errors := s.command("doctor", "--config", s.file()); errors != "" || strings.Contains(out, "5ecret") {
		t.Errorf("doctor prints\n%s\nand to stderr\n%s", out, errors)
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
