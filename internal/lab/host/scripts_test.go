package host_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What an administrator may have done before a package comes or goes.
const (
	maskSocket  = "systemctl mask oauth-proxyd.socket"
	maskService = "systemctl mask oauth-proxyd.service"
	maskBoth    = "systemctl mask oauth-proxyd.socket oauth-proxyd.service"
	maskForBoot = "systemctl mask --runtime oauth-proxyd.socket"
	stopSocket  = "systemctl disable --now oauth-proxyd.socket"
	stopBoth    = "systemctl stop oauth-proxyd.socket oauth-proxyd.service"
	denyStarts  = "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d"
	denyOthers  = `printf '#!/bin/sh\ncase $1 in oauth-proxyd*) exit 104 ;; esac\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d`
	presetNone  = "mkdir -p /etc/systemd/system-preset; echo 'disable *' >/etc/systemd/system-preset/00-none.preset"
	takePort    = "systemd-run --quiet systemd-socket-activate --listen=8080 cat; until ss -ltn | grep -q :8080; do :; done"
	loseAdmin   = "rm /run/oauth-proxyd/admin.sock"
	reopen      = "systemctl stop oauth-proxyd.service oauth-proxyd.socket && systemctl start oauth-proxyd.socket"
	loseSocket  = maskSocket + "; systemctl unmask oauth-proxyd.socket"
	changePort  = "mkdir /etc/systemd/system/oauth-proxyd.socket.d; printf '[Socket]\\nListenStream=\\nListenStream=9000\\n' " +
		">/etc/systemd/system/oauth-proxyd.socket.d/port.conf; systemctl daemon-reload"
	addPort = "mkdir /etc/systemd/system/oauth-proxyd.socket.d; printf '[Socket]\\nListenStream=9000\\n' " +
		">/etc/systemd/system/oauth-proxyd.socket.d/port.conf; systemctl daemon-reload"
	unixSocket = "mkdir /etc/systemd/system/oauth-proxyd.socket.d; printf '[Socket]\\nListenStream=\\nListenStream=/run/a.sock\\n' " +
		">/etc/systemd/system/oauth-proxyd.socket.d/unix.conf; systemctl daemon-reload; " + reopen
	useUnix    = "curl --silent --output /dev/null --unix-socket /run/a.sock http://a/health"
	leftBehind = denyStarts + "; dpkg --remove oauth-proxyd; rm /usr/sbin/policy-rc.d"
	endIt      = "kill -9 $(systemctl show --property=MainPID --value oauth-proxyd); while systemctl is-active oauth-proxyd; do :; done"
	useIt      = "curl --silent --output /dev/null http://127.0.0.1:8080/health"
)

// What the scripts say.
const (
	socketIsMasked = "oauth-proxyd: oauth-proxyd.socket is masked, so nothing listens. To start it: " +
		"systemctl unmask oauth-proxyd.socket && systemctl enable --now oauth-proxyd.socket\n"
	serviceIsMasked = "oauth-proxyd: oauth-proxyd.service is masked, so its socket is not started and nothing listens. To start it: " +
		"systemctl unmask oauth-proxyd.service && systemctl enable --now oauth-proxyd.socket\n"
	bothAreMasked = "oauth-proxyd: oauth-proxyd.service is masked, so its socket is not started and nothing listens. To start it: " +
		"systemctl unmask oauth-proxyd.service && systemctl unmask oauth-proxyd.socket && systemctl enable --now oauth-proxyd.socket\n"
	socketIsMaskedForBoot = "oauth-proxyd: oauth-proxyd.socket is masked, so nothing listens. To start it: " +
		"systemctl unmask --runtime oauth-proxyd.socket && systemctl enable --now oauth-proxyd.socket\n"
	socketIsDisabled = "oauth-proxyd: oauth-proxyd.socket is not enabled, so nothing listens. To start it: systemctl enable --now oauth-proxyd.socket\n"
	startIsForbidden = "oauth-proxyd: policy-rc.d forbids starting oauth-proxyd.socket, so nothing listens before the next boot. " +
		"To start it: systemctl start oauth-proxyd.socket\n"
	socketFailed = `oauth-proxyd: oauth-proxyd.socket could not be started, so nothing listens;
"systemctl status oauth-proxyd.socket" says why. If another program has the port
(8080 unless you changed it; "ss -ltnp" lists ports), stop that program, or choose another
port with "systemctl edit oauth-proxyd.socket" and these lines:
    [Socket]
    ListenStream=
    ListenStream=9000
Then run "systemctl start oauth-proxyd.socket".
`
	oldRunsOnMasked = "oauth-proxyd: oauth-proxyd.service is masked, so the old version was not replaced, and systemd ends it within 30 seconds. To replace it: " +
		"systemctl unmask oauth-proxyd.service && oauth-proxyd upgrade\n"
	oldRunsOnForbidden = "oauth-proxyd: policy-rc.d forbids restarting oauth-proxyd, so the old version keeps running. To replace it: oauth-proxyd upgrade\n"
	oldRunsOnSocket    = "oauth-proxyd: systemd does not listen for oauth-proxyd.socket, so the old version keeps running: a restart would lose the port. " +
		"To restart both: " + reopen + "\n"
	socketIsLost      = "oauth-proxyd: systemd does not listen for oauth-proxyd.socket anymore, because it was masked or changed while it was active: "
	restartLosesIt    = socketIsLost + "a restart would lose the port. To restart both: " + reopen + "\n"
	nobodyConnects    = socketIsLost + "no client can connect. To start it: " + reopen + "\n"
	reopenIsForbidden = "oauth-proxyd: policy-rc.d forbids starting oauth-proxyd.socket, so nothing listens before the next boot. " +
		"To start it: " + reopen + "\n"
	adminIsGone = "error: oauth-proxyd is not running, or its admin socket is not /run/oauth-proxyd/admin.sock\n" +
		"hint: sudo oauth-proxyd doctor\n"
	restartInstead = "/etc/oauth-proxyd/oauth-proxyd.hcl is valid\noauth-proxyd: restarting instead; streams that take longer than proxy.drain_timeout are cut\n"
	stillActive    = "oauth-proxyd: still active, because policy-rc.d or systemd did not let it stop. To stop it: " +
		"systemctl stop oauth-proxyd.socket oauth-proxyd.service\n"
)

// occasion is a time at which scripts run, on a host of its own.
type occasion struct {
	name    string
	before  []string // commands
	action  string   // the command that is looked at
	said    string   // by our scripts
	socket  string   // ActiveState of the units afterwards
	service string
}

// The actions, with the older package, the newer, and the files left by copyIn.
const (
	installOld = "dpkg --install /var/tmp/oauth-proxyd_1.2.0-1_*.deb"
	upgradeDeb = "dpkg --install /var/tmp/oauth-proxyd_1.3.0-1_*.deb"
	remove     = "dpkg --remove oauth-proxyd"
	purge      = "dpkg --purge oauth-proxyd" + listLinks
	installRPM = "rpm --nodeps --force-debian --install /var/tmp/oauth-proxyd-1.2.0-*.rpm"
	upgradeRPM = "rpm --nodeps --force-debian --upgrade /var/tmp/oauth-proxyd-1.3.0-*.rpm"
	erase      = "rpm --nodeps --force-debian --erase oauth-proxyd" + listLinks
)

// listLinks shows what is left of enabled units, as if a script had said it.
const listLinks = "; find /etc/systemd/system/*.wants -name 'oauth-proxyd*' >&2"

func installations() []occasion {
	return []occasion{
		{"nothing in the way", nil, installOld, "", "active", "inactive"},
		{"the socket is masked", []string{maskSocket}, installOld, socketIsMasked, "inactive", "inactive"},
		{"the socket is masked for this boot", []string{maskForBoot}, installOld, socketIsMaskedForBoot, "inactive", "inactive"},
		{"the service is masked", []string{maskService}, installOld, serviceIsMasked, "inactive", "inactive"},
		{"both are masked", []string{maskBoth}, installOld, bothAreMasked, "inactive", "inactive"},
		{"policy-rc.d forbids all", []string{denyStarts}, installOld, startIsForbidden, "inactive", "inactive"},
		{"policy-rc.d forbids others", []string{denyOthers}, installOld, "", "active", "inactive"},
		{"a preset disables all", []string{presetNone}, installOld, socketIsDisabled, "inactive", "inactive"},
		{"the port is taken", []string{takePort}, installOld, socketFailed, "failed", "inactive"},
		{"rpm, the socket is masked", []string{maskSocket}, installRPM, socketIsMasked, "inactive", "inactive"},
		{"rpm, the service is masked", []string{maskService}, installRPM, serviceIsMasked, "inactive", "inactive"},
		{"rpm, a preset disables all", []string{presetNone}, installRPM, socketIsDisabled, "inactive", "inactive"},
		{"rpm, the port is taken", []string{takePort}, installRPM, socketFailed, "failed", "inactive"},
	}
}

func upgrades() []occasion {
	return []occasion{
		{"idle and masked", []string{installOld, maskSocket + " --now"}, upgradeDeb, "", "inactive", "inactive"},
		{"idle and disabled", []string{installOld, stopSocket}, upgradeDeb, "", "inactive", "inactive"},
		{"stopped, policy-rc.d forbids all", []string{installOld, stopBoth, denyStarts}, upgradeDeb, startIsForbidden, "inactive", "inactive"},
		{"in use, policy-rc.d forbids all", []string{installOld, useIt, denyStarts}, upgradeDeb, oldRunsOnForbidden, "active", "active"},
		{"in use, the service is masked", []string{installOld, useIt, maskService}, upgradeDeb, oldRunsOnMasked, "active", "active"},
		{"rpm, in use, the service is masked", []string{installRPM, useIt, maskService}, upgradeRPM, oldRunsOnMasked, "active", "active"},
		{"in use without its socket, and deaf", []string{installOld, useIt, stopSocket, loseAdmin}, upgradeDeb, adminIsGone + oldRunsOnSocket, "inactive", "active"},
		{"in use, the socket is lost", []string{installOld, useIt, loseSocket}, upgradeDeb, restartLosesIt, "active", "active"},
		{"in use, the socket is lost, and deaf", []string{installOld, useIt, loseSocket, loseAdmin}, upgradeDeb, adminIsGone + oldRunsOnSocket, "active", "active"},
		{"in use, the port is another, and deaf", []string{installOld, useIt, changePort, loseAdmin}, upgradeDeb, adminIsGone + oldRunsOnSocket, "active", "active"},
		{"in use, the socket is a Unix socket, and deaf", []string{installOld, unixSocket, useUnix, loseAdmin}, upgradeDeb, adminIsGone + restartInstead, "active", "active"},
		{"idle, the socket is lost", []string{installOld, loseSocket}, upgradeDeb, "", "active", "inactive"},
		{"idle, the socket is lost, policy-rc.d forbids all", []string{installOld, loseSocket, denyStarts}, upgradeDeb, reopenIsForbidden, "active", "inactive"},
		{"removed while in use, policy-rc.d forbade it", []string{installOld, useIt, leftBehind}, upgradeDeb, restartLosesIt, "active", "active"},
		{"removed and ended, policy-rc.d forbade it", []string{installOld, useIt, leftBehind, endIt}, upgradeDeb, "", "active", "failed"},
		{"rpm, in use, the socket is lost", []string{installRPM, useIt, loseSocket}, upgradeRPM, restartLosesIt, "active", "active"},
		{"rpm, in use, the socket is lost, and deaf", []string{installRPM, useIt, loseSocket, loseAdmin}, upgradeRPM, adminIsGone + oldRunsOnSocket, "active", "active"},
		{"rpm, idle, the socket is lost", []string{installRPM, loseSocket}, upgradeRPM, nobodyConnects, "active", "inactive"},
	}
}

func removals() []occasion {
	return []occasion{
		{"purged, both are masked", []string{installOld, useIt, maskBoth}, purge, "", "inactive", "inactive"},
		{"purged, both are masked and idle", []string{installOld, maskBoth + " --now"}, purge, "", "inactive", "inactive"},
		{"removed, policy-rc.d forbids all", []string{installOld, useIt, denyStarts}, remove, stillActive, "active", "active"},
		{"rpm, both are masked", []string{installRPM, useIt, maskBoth}, erase, "", "inactive", "inactive"},
	}
}

// What an administrator has decided is heeded, and what is said is true.
func TestMaintainerScripts(t *testing.T) {
	t.Parallel()
	for _, o := range slices.Concat(installations(), upgrades(), removals()) {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			o.try(t)
		})
	}
}

func (o occasion) try(t *testing.T) {
	t.Helper()
	l := boot(t)
	t.Cleanup(l.showJournal)
	for _, file := range []string{deb(t, oldVersion), deb(t, newVersion), rpm(t, oldVersion), rpm(t, newVersion)} {
		l.copyIn(file)
	}
	for _, c := range o.before {
		l.must("sh", "-c", c)
	}
	out := l.run("sh", "-c", o.action)
	if said := scriptsSay(out.Stderr); out.Code != 0 || said != o.said {
		t.Errorf("%s: exit %d; it says:\n%s\nwant:\n%s", o.action, out.Code, said, o.said)
	}
	l.wantProperties(socketUnit, map[string]string{"ActiveState": o.socket})
	l.wantProperties(service, map[string]string{"ActiveState": o.service})
	l.followAdvice(out.Stderr)
	if slices.ContainsFunc(o.before, func(c string) bool { return c == loseSocket || c == changePort || c == leftBehind }) {
		l.wantListening()
	}
}

// wantListening: the socket takes requests, and does so after a restart of the service.
func (l *lab) wantListening() {
	l.t.Helper()
	address, _, _ := strings.Cut(l.property(socketUnit, "Listen"), " ")
	address = strings.Replace(address, "[::]", "127.0.0.1", 1)
	l.openStreamAt(address)
	l.must("systemctl", "restart", service)
	l.openStreamAt(address)
	_, health := l.get("http://" + address + "/health")
	l.wantAll(health, `"trouble": ""`)
}

// scriptsSay leaves out what systemd says when all is well.
func scriptsSay(stderr string) string {
	var said strings.Builder
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "Created symlink ") && !strings.HasPrefix(line, "Creating ") {
			said.WriteString(line)
		}
	}
	return said.String()
}

// followAdvice runs the command that the scripts end a line with; it must succeed.
func (l *lab) followAdvice(said string) {
	l.t.Helper()
	for _, line := range regexp.MustCompile(`(?m)^oauth-proxyd: .* To [a-z ]+: (.*)$`).FindAllStringSubmatch(said, -1) {
		l.must("sh", "-euc", line[1])
	}
}

// In a chroot nothing runs; the next boot finds what it needs.
func TestInstallationInAChroot(t *testing.T) {
	t.Parallel()
	l := boot(t)
	l.copyIn(deb(t, oldVersion))
	const script = `
mkdir /srv/chroot
mount --bind / /srv/chroot
mount -t tmpfs tmpfs /srv/chroot/run
chroot /srv/chroot sh -c "$1"
test -z "$(ls /srv/chroot/run)"
`
	out := l.run("unshare", "--mount", "sh", "-euc", script, "sh", installOld)
	if said := scriptsSay(out.Stderr); out.Code != 0 || said != "" {
		t.Errorf("exit %d, it says:\n%s", out.Code, said)
	}
	l.must("systemctl", "daemon-reload")
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "inactive", "UnitFileState": "enabled"})
	l.must("systemd-tmpfiles", "--create", "--remove", "--boot")
	l.must("systemctl", "start", "sockets.target") // as at a boot
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active"})
	l.must("test", "-d", collected)
	l.openStream()
}
