package host_test

import (
	"strings"

	"oauth-proxyd/internal/daemontest"
)

// The recipes in which the units of the package do not run the daemon.

func (l *lab) stopForGood(e example) {
	const second = "127.0.0.1:8081"
	l.write("/etc/systemd/system/batch.socket", "[Socket]\nListenStream="+second+"\nService="+service+"\n[Install]\nWantedBy=sockets.target\n")
	l.must("systemctl", "stop", service)
	l.must("systemctl", "enable", "--now", "batch.socket")
	l.openStream().body.Close()
	l.follow(e)
	l.wantClosed(proxyAddr)
	l.wantClosed(second)
	l.wantProperties(service, map[string]string{"ActiveState": "inactive"})
	l.must("systemctl", "enable", "--now", socketUnit)
	l.wantServedAt(proxyAddr)
}

// background runs a command line until the host ends.
func (l *lab) background(options, line string) {
	l.t.Helper()
	l.must("sh", "-c", "systemd-run --quiet "+options+" -- sh -c '"+strings.TrimSpace(line)+"'")
}

func (l *lab) wantServedSoon(address string) {
	l.t.Helper()
	daemontest.Eventually(l.t, "it listens on "+address, func() bool {
		c, err := l.DialContext(l.t.Context(), "tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	l.wantServedAt(address)
}

func (l *lab) runByHand(e example) {
	l.must("install", "-d", "-o", "nobody", "/run/nobody")
	l.background("--uid=nobody --setenv=XDG_RUNTIME_DIR=/run/nobody --working-directory=/etc/oauth-proxyd", e.steps[0].text)
	l.wantServedSoon("127.0.0.1:8081")
	l.wantAll(l.run("oauth-proxyd", "status", "--socket", "/run/nobody/oauth-proxyd/admin.sock").Stdout, "127.0.0.1:8081")
	l.wantAll(l.run("oauth-proxyd", "doctor", "--socket", "/run/nobody/oauth-proxyd/admin.sock").Stdout, "oauth-proxyd.service is inactive; process ")
}

func (l *lab) runForOneUser(e example) {
	const as = "runuser -u bob -- env HOME=/home/bob USER=bob XDG_RUNTIME_DIR=/run/user/$(id -u bob) "
	l.must("sh", "-c", "useradd -m bob && runuser -u bob -- mkdir -p /home/bob/.config/systemd/user && cp "+configFile+" /home/bob/.config/")
	l.write("/home/bob/.config/systemd/user/oauth-proxyd.service", e.steps[0].text)
	var printed string
	for line := range strings.Lines(e.steps[1].text) {
		if root, found := strings.CutPrefix(line, "sudo "); found {
			l.must("sh", "-c", strings.Replace(root, "$USER", "bob", 1))
			daemontest.Eventually(l.t, "bob has a manager", func() bool {
				return l.run("sh", "-c", as+"systemctl --user show-environment").Code == 0
			})
			continue
		}
		out := l.run("sh", "-c", as+"sh -c '"+strings.TrimSpace(line)+"'")
		printed += out.Stdout
		if strings.HasPrefix(line, "systemctl") && out.Code != 0 {
			l.t.Errorf("%s: %s", line, out.Stderr)
		}
	}
	l.wantServedAt("127.0.0.1:8081")
	l.wantAll(printed, "oauth-proxyd.service is inactive; process ", "127.0.0.1:8081 (proxy) responds in")
}

func (l *lab) runInContainer(e example) {
	const root = "/srv/container"
	l.must("systemctl", "stop", socketUnit, service)
	l.must("sh", "-c", "mkdir -p "+root+"/usr/sbin "+root+"/etc/oauth-proxyd && mkdir -m 1777 "+root+"/tmp && cp /usr/sbin/oauth-proxyd "+root+"/usr/sbin && "+
		"cp -r /etc/hosts /etc/ssl "+root+"/etc")
	l.write(root+configFile, l.read(configFile)+e.steps[0].text)
	serve, status, _ := strings.Cut(e.steps[1].text, "\n")
	inside := func(line string) string {
		variable, command, _ := strings.Cut(line, " ")
		return variable + " chroot --userspec=65534:65534 " + root + " " + command
	}
	l.background("--unit=container", inside(serve))
	l.wantServedSoon("127.0.0.1:8080")
	l.wantAll(l.must("sh", "-c", inside(status)), "healthy: serving")
	l.must("systemctl", "stop", "container")
	l.wantClosed("127.0.0.1:8080")
}
