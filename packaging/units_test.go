package packaging_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maxExposure is the highest that "systemd-analyze security" may say, times ten.
const maxExposure = "11"

// host is a folder with the units where a host has them.
func host(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, unit := range []string{"oauth-proxyd.service", "oauth-proxyd.socket"} {
		write(t, filepath.Join(root, "usr/lib/systemd/system", unit), read(t, filepath.Join("systemd", unit)), 0o644)
	}
	for _, target := range []string{"sysinit", "basic", "sockets", "shutdown", "network", "nss-lookup", "-.slice"} {
		name := target + ".target"
		if strings.Contains(target, ".") {
			name = target
		}
		write(t, filepath.Join(root, "usr/lib/systemd/system", name), "[Unit]\nDescription=for the test\n", 0o644)
	}
	write(t, filepath.Join(root, "usr/sbin/oauth-proxyd"), "#!/bin/sh\n", 0o755)
	return root
}

func TestUnitsAreValid(t *testing.T) {
	t.Parallel()
	out := must(t, ".", "systemd-analyze", "verify", "--man=no", "--root="+host(t), "oauth-proxyd.socket", "oauth-proxyd.service")
	if out != "" {
		t.Errorf("systemd-analyze verify says:\n%s", out)
	}
}

func TestSandboxIsTight(t *testing.T) {
	t.Parallel()
	out, err := try(t, ".", "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold="+maxExposure,
		"--root="+host(t), "oauth-proxyd.service")
	if err != nil {
		t.Errorf("systemd-analyze security, threshold %s: %v\n%s", maxExposure, err, out)
	}
}

// What loses connections, or keeps the daemon from its work, must not come back.
func TestUnitsKeepTheirPromises(t *testing.T) {
	t.Parallel()
	tests := []struct{ unit, line, why string }{
		{"oauth-proxyd.socket", "TriggerLimitIntervalSec=0", "clients of a daemon that cannot start would fail the socket"},
		{"oauth-proxyd.socket", "FileDescriptorName=proxy", "header rules ask for the name"},
		{"oauth-proxyd.socket", "BindIPv6Only=both", "a sysctl would leave IPv4 out"},
		{"oauth-proxyd.socket", "IPAddressDeny=any", "strangers would get packets in"},
		{"oauth-proxyd.socket", "IPAddressAllow=localhost 100.64.0.0/10 fd7a:115c:a1e0::/48", "this host and the tailnet are served"},
		{"oauth-proxyd.socket", "IPAccounting=yes", "doctor could not tell a filter that is not active"},
		{"oauth-proxyd.service", "Environment=OAUTH_PROXYD_SOCKET_UNIT=oauth-proxyd.socket", "a missing socket would pass in silence"},
		{"oauth-proxyd.service", "After=network.target nss-lookup.target tailscaled.service", "at a boot it would ask a tailscaled that is not there yet"},
		{"oauth-proxyd.service", "StartLimitIntervalSec=0", "quick restarts would fail the socket"},
		{"oauth-proxyd.service", "SuccessExitStatus=75", "a drain that was cut short is not a failure"},
		{"oauth-proxyd.service", "RestartPreventExitStatus=64 77 78", "a restart would fail again"},
		{"oauth-proxyd.service", "NotifyAccess=main", "no other process may speak for the daemon"},
		{"oauth-proxyd.service", "ExecReload=/usr/sbin/oauth-proxyd reload", "a reload that is refused must fail"},
		{"oauth-proxyd.service", "LimitCORE=0", "a core would hold credentials"},
		{"oauth-proxyd.service", "MemorySwapMax=0", "swap would hold credentials"},
		{"oauth-proxyd.service", "StateDirectory=oauth-proxyd", "hashes in the log would change at each start"},
		{"oauth-proxyd.service", "StateDirectoryMode=0700", "a reader of the key finds the names behind the hashes"},
		{"oauth-proxyd.service", "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK", "without netlink this host's own addresses are strangers"},
	}
	for _, tt := range tests {
		if !strings.Contains(read(t, filepath.Join("systemd", tt.unit)), "\n"+tt.line+"\n") {
			t.Errorf("%s has no %s: %s", tt.unit, tt.line, tt.why)
		}
	}
	forbidden := regexp.MustCompile(`(?m)^(PartOf|Requires|BindsTo|NoExecPaths|ProcSubset|KillMode)=`)
	for _, unit := range []string{"oauth-proxyd.socket", "oauth-proxyd.service"} {
		if found := forbidden.FindAllString(read(t, filepath.Join("systemd", unit)), -1); found != nil {
			t.Errorf("%s has %q", unit, found)
		}
	}
}

func TestTheUserIsASystemUser(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n", 0o644)
	write(t, filepath.Join(root, "etc/group"), "root:x:0:\n", 0o644)
	write(t, filepath.Join(root, "usr/lib/sysusers.d/oauth-proxyd.conf"), read(t, "systemd/oauth-proxyd.sysusers"), 0o644)
	must(t, ".", "systemd-sysusers", "--root="+root, "oauth-proxyd.conf")
	user := regexp.MustCompile(`(?m)^oauth-proxyd:x:[1-9]\d{0,2}:([1-9]\d{0,2}):oauth-proxyd daemon:/nonexistent:/usr/sbin/nologin$`)
	if passwd := read(t, filepath.Join(root, "etc/passwd")); !user.MatchString(passwd) {
		t.Errorf("passwd:\n%s", passwd)
	}
}

// The folder for the textfile is the daemon's alone, others can read it, and the sandbox lets the
// daemon write there.
func TestTextfileFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	// The names of users are looked up on this host.
	text := strings.ReplaceAll(read(t, "systemd/oauth-proxyd.tmpfiles"), "oauth-proxyd oauth-proxyd -", "root root -")
	write(t, filepath.Join(root, "etc/tmpfiles.d/oauth-proxyd.conf"), text, 0o644)
	if out := must(t, ".", "systemd-tmpfiles", "--create", "--root="+root, "oauth-proxyd.conf"); out != "" {
		t.Errorf("systemd-tmpfiles says: %s", out)
	}
	folder := strings.TrimPrefix(regexp.MustCompile(`(?m)^ReadWritePaths=-(/\S+)$`).FindStringSubmatch(read(t, "systemd/oauth-proxyd.service"))[1], "/")
	if got := must(t, root, "stat", "--format=%a", folder, filepath.Dir(folder)); got != "755\n755\n" {
		t.Errorf("modes %q", got)
	}
	write(t, filepath.Join(root, folder, "oauth-proxyd.prom"), "of the boot before", 0o644)
	must(t, ".", "systemd-tmpfiles", "--create", "--remove", "--boot", "--root="+root, "oauth-proxyd.conf")
	if left := must(t, root, "ls", folder); left != "" {
		t.Errorf("after a boot there is %s", left)
	}
}

// Who had the service started at the boot, and takes that back, still wants requests to start it.
func TestDisabledServiceKeepsTheSocket(t *testing.T) {
	t.Parallel()
	root := host(t)
	for _, command := range []string{"enable oauth-proxyd.socket", "enable oauth-proxyd.service", "disable oauth-proxyd.service"} {
		must(t, ".", append([]string{"systemctl", "--quiet", "--root=" + root}, strings.Fields(command)...)...)
	}
	for unit, want := range map[string]string{"oauth-proxyd.socket": "enabled", "oauth-proxyd.service": "disabled"} {
		if out, _ := try(t, ".", "systemctl", "--root="+root, "is-enabled", unit); strings.TrimSpace(out) != want {
			t.Errorf("%s is %q, want %s", unit, out, want)
		}
	}
}
