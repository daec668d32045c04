package main_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// The programs of the host that bundle asks, with secrets and names in all that they print.
const (
	leakyJournal = `#!/bin/sh
cat <<'END'
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"POST /v1/messages 200 9960ms alice@alice-5eed node=alice-5eed","REQUEST_ID":"req_1","HTTP_METHOD":"POST","HTTP_STATUS":"200","NODE":"alice-5eed","TS_USER":"alice@5eed.example","ADDRESS":"100.64.5.99","PERSON":"status","SESSION":"5ecr3t-session","_HOSTNAME":"host-5eed"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"dial error=x","ERROR":"proxyconnect http://u:5ecr3t-proxy@127.0.0.1:3128/: Proxy-Authorization: Basic NWVjcjN0"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"Cookie: a=5ecr3t-cookie; b=\"5ecr3t-more\"; alice%405eed.example, sk-ant-oat01%2D5ecr3t, tskey-auth-5ecr3t, AKIA5ECR3T"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"log in at https://login.tailscale.com/a/5ecr3t-login; posting to https://hooks.slack.com/services/T5EED/B5EED/5ecr3t"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"could not connect to 5eed.corp.example:443: connection refused; /home/alice-5eed/x; peer [fd7a:115c:a1e0::5eed]:443"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"{\"msg\":\"tailscaled warns\",\"user\":\"alice-5eed\",\"warning\":\"body-5eed\"}"}
{"SYSLOG_IDENTIFIER":"systemd","MESSAGE":"oauth-proxyd.service: Failed at step EXEC spawning /home/alice-5eed/x: No such file or directory"}
{"SYSLOG_IDENTIFIER":"curl","MESSAGE":"5ecr3t-curl"}
END
`
	leakyUnits = `#!/bin/sh
case "$*" in
*version*) echo "systemd 252 (252.22-5eed)"; echo "5ecr3t" ;;
*TriggeredBy*value*) echo "oauth-proxyd.socket more.socket" ;;
show*more.socket) cat <<'END'
Id=oauth-proxyd.service
ActiveState=active
Environment=GOGC=300 ANTHROPIC_API_KEY=5ecr3t-key "HTTPS_PROXY=http://u:5ecr3t-password@5eed.example:1" ALICE_5EED=1 EVEN=NWVjcjN0
DropInPaths=/etc/systemd/system/oauth-proxyd.service.d/override.conf /etc/systemd/system/oauth-proxyd.service.d/5eed.conf
User=alice-5eed
MemoryCurrent=26800128
LimitNOFILE=1048576
IPAddressAllow=100.64.0.0/10 100.64.5.99 127.0.0.1
ExecStartPre={ path=/usr/bin/curl ; argv[]=curl -u alice:5ecr3t-curl http://127.0.0.1 }
SetCredential=name:5ecr3t-credential

Id=more-5eed.socket
END
;;
*) exit 1 ;;
esac
`
)

// leakyConfig has secrets and names wherever a valid file can have them.
const leakyConfig = `
# Authorization: Bearer 5ecr3t-comment
header "x-kind" {
  value = "5ecr3t-value NWVjcjN0"
}
header "x-5eed" {
  value = "ann%405eed.example"
  when {
    path_prefix       = "/5ecr3t-webhook/"
    user_agent_prefix = "alice-5eed/"
  }
}
access {
  allow    = ["local", "tailnet", "alice@5eed.example", "alice%41@5eed.example", "node:alice-5eed", "100.64.5.99", "tag:a5eed", "cap:5eed.example/cap/5eed"]
  browsers = ["https://alice-5eed.example"]
}
metrics {
  textfile = "/home/alice-5eed/x.prom"
}
`

// leakyHost is a service that has carried secrets for a peer, with the programs above.
func leakyHost(t *testing.T, identity string) *service {
	t.Helper()
	programs := daemontest.TempDir(t)
	for name, text := range map[string]string{"journalctl": leakyJournal, "systemctl": leakyUnits, "tailscale": "#!/bin/sh\necho 1.104.2-5eed\n"} {
		if err := os.WriteFile(filepath.Join(programs, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	u, d := leakyUpstream(t), runTailscaled(t, "Running")
	d.Deliver(alice)
	d.Warn(gossip)
	s := start(t, unit{
		config: forwarding(u.URL, "", onTailnet(d, "wait"), mergeBeta, leakyConfig, "log {\n  identity = \""+identity+"\"\n}\n"),
		env: []string{
			"PATH=" + programs + ":" + os.Getenv("PATH"), "ANTHROPIC_API_KEY=" + secret("env"),
			"NO_PROXY=5eed.example", "HTTPS_PROXY=http://u:" + secret("proxy-env") + "@127.0.0.1:1",
		},
	})
	sendSecrets(t, s, daemontest.NewRecord())
	get(t, s.url()+"/break/home/alice-5eed/"+secret("path"), "User-Agent", "claude-cli/2.1.0-5ecr3t", "X-Request-Id", "req_"+strings.Repeat("5eed", 6)+"AA",
		"X-Claude-Code-Session-Id", secret("session"), "Traceparent", "00-"+strings.Repeat("5eed", 8)+"-00f067aa0ba902b7-01").Want(t, 502)
	return s
}

// wantNone searches the archive for the seeds, in any case, percent-encoded, in hexadecimal and in
// base64, wherever they were in the text that was encoded.
func wantNone(t *testing.T, members map[string]string, seeds ...string) {
	t.Helper()
	for name, text := range members {
		decoded := strings.ToLower(text)
		for range 2 { // encoded twice
			decoded = regexp.MustCompile(`%[0-9a-f]{2}`).ReplaceAllStringFunc(decoded, func(c string) string {
				plain, _ := hex.DecodeString(c[1:])
				return string(plain)
			})
		}
		for _, seed := range seeds {
			found := strings.Contains(decoded, seed) || strings.Contains(decoded, hex.EncodeToString([]byte(seed)))
			for shift := range 3 {
				encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + seed))
				whole := encoded[(shift+2)/3*4 : len(encoded)/4*4-4] // the groups of letters that only the seed decides
				found = found || len(whole) > 0 && strings.Contains(text, whole)
			}
			if found {
				t.Errorf("%s shows %q:\n%s", name, seed, text)
			}
		}
	}
}

// bundle runs the command and returns what is in its archive.
func (s *service) bundle(want int) (list string, members map[string]string) {
	s.t.Helper()
	code, archive, list := s.command("bundle", "--config", s.file(), "-")
	if code != want {
		s.t.Fatalf("exit %d, want %d: %s", code, want, list)
	}
	compressed, err := gzip.NewReader(strings.NewReader(archive))
	if err != nil {
		s.t.Fatal(err)
	}
	members = map[string]string{}
	for r := tar.NewReader(compressed); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, members
		}
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			s.t.Fatal(err)
		}
		members[strings.TrimPrefix(header.Name, "oauth-proxyd-bundle/")] = string(text)
	}
}

func TestBundleHasWhatAReportNeeds(t *testing.T) {
	t.Parallel()
	s := leakyHost(t, "full")
	list, members := s.bundle(0)
	for name, want := range map[string]string{
		"CONTENTS":      list,
		"versions.json": `"tailscale": "1.104.2-…"`,
		"config.json":   `"new": "merge \"oauth-2025-04-20\""`,
		"status.json":   `"status": "healthy"`,
		"requests.json": "[]",
		"failures.json": `"outcome": "upstream_protocol"`,
		"doctor.json":   `"check": "tailscaled"`,
		"journal.txt":   `"method":"POST","node":"name-`,
		"units.json":    `"Environment=GOGC=300 ANTHROPIC_API_KEY=text-`,
	} {
		if !strings.Contains(members[name], want) || !strings.Contains(list+"CONTENTS", name) {
			t.Errorf("%s has no %q:\n%s", name, want, members[name])
		}
	}
	if len(members) != 9 {
		t.Errorf("%d members", len(members))
	}
	wantNone(t, members, "5ecr3t", "body-5eed")
}

func TestBundleWithholdsNames(t *testing.T) {
	t.Parallel()
	for _, identity := range []string{"full", "none", "hashed"} {
		s := leakyHost(t, identity)
		_, members := s.bundle(0)
		wantNone(t, members, append(named(), "5ecr3t")...)
		for _, want := range []struct{ name, text string }{
			{"journal.txt", "could not connect to text-"},
			{"units.json", `"MemoryCurrent=26.8MB"`},
			{"units.json", `"LimitNOFILE=1048576"`},
			{"units.json", `"IPAddressAllow=100.64.0.0/10 address-`},
			{"config.json", `"new": "[\"local\", \"tailnet\", \"text-`},
			{"config.json", "\"new\": \"\\\"text-"},
			{"status.json", `"status": "healthy"`},
			{"failures.json", `"outcome": "upstream_protocol"`},
			{"doctor.json", `"status": "ok"`},
			{"versions.json", `"systemd": "systemd 252`},
			{"requests.json", "[]"},
			{"CONTENTS", "config.json"},
		} {
			if !strings.Contains(members[want.name], want.text) {
				t.Errorf("%s has no %q:\n%s", want.name, want.text, members[want.name])
			}
		}
		if !regexp.MustCompile(`"address":"address-\d+","method":"POST","node":"name-\d+","person":"name-\d+"`).MatchString(members["journal.txt"]) {
			t.Error(members["journal.txt"])
		}
	}
}

// Without a right to the admin socket, and without a daemon, the rest is in the archive.
func TestBundleSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet, mergeBeta)})
	code, archive, list := s.commandAsNobody("bundle", "--config", s.file(), "-")
	if code != 77 || archive == "" || !strings.Contains(list, "status.json    missing: connecting to text-") {
		t.Errorf("exit %d: %s", code, list)
	}
	s.stop()
	_, members := s.bundle(69)
	if !strings.HasPrefix(members["status.json"], "missing: oauth-proxyd is not running") || !strings.Contains(members["config.json"], "http://127.0.0.1:9") {
		t.Errorf("%q", members)
	}
}
