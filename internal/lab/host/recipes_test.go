package host_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// TestRecipes follows each recipe of docs/recipes.md on a host, and checks what it promises.
func TestRecipes(t *testing.T) {
	t.Parallel()
	promises := map[string]func(*lab, example){
		"Changing the configuration":                 (*lab).changeConfiguration,
		"Another port":                               (*lab).moveToAnotherPort,
		"A privileged port":                          (*lab).addPrivilegedPort,
		"The address on the tailnet only":            (*lab).keepToTheTailnet,
		"Stopping it":                                (*lab).stopForGood,
		"Running it by hand":                         (*lab).runByHand,
		"A per-user service":                         (*lab).runForOneUser,
		"A container without systemd":                (*lab).runInContainer,
		"A second socket with its own header rules":  (*lab).addSecondSocket,
		"A Unix socket, with nginx in front":         (*lab).putNginxInFront,
		"Limits for more streams":                    (*lab).raiseLimits,
		"Environment variables":                      (*lab).setVariables,
		"Several hosts behind one Tailscale Service": (*lab).joinService,
		"The journal":                                (*lab).readJournal,
		"A request that failed":                      (*lab).findRequest,
	}
	for _, e := range examples(t) {
		promise, ok := promises[e.name]
		if !ok {
			t.Errorf("nothing tests the recipe %q", e.name)
			continue
		}
		delete(promises, e.name)
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			promise(install(t), e)
		})
	}
	for name := range promises {
		t.Errorf("docs/recipes.md has no recipe %q", name)
	}
}

// wantServedAt sends a request that the API refuses.
func (l *lab) wantServedAt(address string) {
	l.t.Helper()
	if status, body := l.get("http://" + address + "/v1/nothing"); status != 401 {
		l.t.Errorf("%s: %d %s", address, status, body)
	}
}

func (l *lab) wantClosed(address string) {
	l.t.Helper()
	if c, err := l.DialContext(l.t.Context(), "tcp", address); err == nil {
		c.Close()
		l.t.Errorf("%s is still open", address)
	}
}

func (l *lab) changeConfiguration(e example) {
	l.openStream().body.Close()
	l.write("/usr/local/bin/editor", "#!/bin/sh\ncat >>\"$1\" <<'end'\n"+labHeader("edited")+"end\n")
	l.must("chmod", "755", "/usr/local/bin/editor")
	l.wantAll(l.follow(e), "header", "x-lab")
	l.wantSent("edited")
}

func (l *lab) moveToAnotherPort(e example) {
	l.openStream().body.Close()
	l.follow(e)
	l.wantServedAt("127.0.0.1:9000")
	l.wantClosed(proxyAddr)
}

func (l *lab) addPrivilegedPort(e example) {
	l.openStream().body.Close()
	l.follow(e)
	l.wantServedAt("127.0.0.1:80")
	l.wantServedAt(proxyAddr)
	status := l.read(fmt.Sprintf("/proc/%d/status", l.mainPID()))
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		l.wantAll(status, set+":\t0000000000000000\n")
	}
}

// keepToTheTailnet asks as a user other than tailscaled's, whose connections are proved local.
func (l *lab) keepToTheTailnet(e example) {
	const address = "100.64.0.7"
	l.openStream().body.Close()
	l.follow(e)
	l.wantServedAt(proxyAddr)
	l.must("ip", "address", "add", address+"/32", "dev", "lo") // as tailscaled would, later
	status := l.must("runuser", "-u", "nobody", "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://"+address+":8080/v1/nothing")
	if status != "401" {
		l.t.Errorf("on the tailnet's address the status is %s", status)
	}
	l.must("ip", "address", "add", "192.0.2.5/32", "dev", "lo")
	l.wantClosed("192.0.2.5:8080")

	l.must("ip", "address", "delete", address+"/32", "dev", "lo")
	l.edit(socketUnit, strings.Replace(e.steps[0].text, "FreeBind=yes\n", "", 1))
	l.must("systemctl", "stop", socketUnit, service)
	if out := l.run("systemctl", "start", socketUnit); out.Code == 0 {
		l.t.Error("the socket starts without FreeBind=, too")
	}
}

func (l *lab) addSecondSocket(e example) {
	l.openStream().body.Close()
	load := l.load()
	load.More(50)
	l.follow(e)
	for address, want := range map[string]string{"127.0.0.1:8081": "batch", proxyAddr: ""} {
		if status, body := l.get("http://" + address + "/v1/nothing?to=" + address); status != 401 {
			l.t.Errorf("%s: %d %s", address, status, body)
		}
		if got := l.received("/v1/nothing?to="+address, "X-Team"); got != want {
			l.t.Errorf("from %s the API received x-team %q", address, got)
		}
	}
	l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "0"})
	l.wantAll(l.property(service, "StatusText"), ":8080", ":8081")
	l.wantProperties("oauth-proxyd-batch.socket", map[string]string{"ActiveState": "active", "UnitFileState": "enabled"})

	l.installDeb(deb(l.t, newVersion)) // takes both sockets over
	load.More(50)
	load.WantNoneLost()
	l.wantServedAt("127.0.0.1:8081")
}

// putNginxInFront has an address of the network that nginx admits. The daemon sees only what nginx
// says of it.
func (l *lab) putNginxInFront(e example) {
	const front = "192.0.2.5:8090"
	l.must("ip", "address", "add", "192.0.2.5/24", "dev", "lo")
	l.openStream().body.Close()
	l.follow(e)
	s := l.openStreamAt(front) // event by event: what the API has not sent yet holds nothing back
	s.body.Close()
	if r, _ := l.api.last("/v1/messages"); r.Header.Get("X-Real-Ip") != "" {
		l.t.Error("nginx's header reached the API")
	}
	if status, body := l.get("http://127.0.0.1:8090/v1/nothing"); status != 403 || !strings.Contains(body, "nginx") {
		l.t.Errorf("nginx admits others: %d %s", status, body)
	}
	l.wantServedAt(proxyAddr)

	ask := []string{"curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", "/run/oauth-proxyd.sock", "http://unix/v1/nothing"}
	for user, want := range map[string]string{"www-data": "401", "nobody": "000"} {
		if got := l.run("runuser", append([]string{"-u", user, "--"}, ask...)...).Stdout; got != want {
			l.t.Errorf("%s gets status %s on the Unix socket, want %s", user, got, want)
		}
	}
	shipped, access, _ := strings.Cut(l.read(configFile), "\naccess {")
	l.write(configFile, shipped) // without the last step's block, they are refused
	l.must("systemctl", "reload", service)
	if status, body := l.get("http://" + front + "/v1/nothing"); status != 403 || !strings.Contains(body, "access_denied") {
		l.t.Errorf("without access {%s nginx's clients get %d %s", access, status, body)
	}
}

func (l *lab) raiseLimits(e example) {
	l.openStream().body.Close()
	l.follow(e)
	l.openStream().body.Close()
	l.wantProperties(service, map[string]string{"MemoryMax": "4294967296", "MemorySwapMax": "0", "LimitNOFILE": "131072"})
	l.wantAll("\x00"+l.read(fmt.Sprintf("/proc/%d/environ", l.mainPID())), "\x00GOMEMLIMIT=1800MiB\x00")
	l.wantAll(l.run("oauth-proxyd", "status").Stdout, "of 5000 in flight", "of 2000 queued")
}

func (l *lab) setVariables(e example) {
	l.must("mv", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/upstream-ca.pem")
	if err := l.send(listModels()); err == nil {
		l.t.Error("the API is trusted without the file")
	}
	l.follow(e)
	if err := l.send(listModels()); err != nil {
		l.t.Error(err)
	}
	daemontest.Eventually(l.t, "a message of level debug", func() bool {
		records, err := l.Journal(contextOf(l.t), "--unit="+service, "PRIORITY=7")
		return err == nil && len(records) > 0
	})
}

// joinService has no Service, which needs Tailscale's own control server: the fake tailscaled says
// that it forwards as it was told.
func (l *lab) joinService(e example) {
	l.write("/usr/bin/tailscale", "#!/bin/sh\necho \"tailscale $*\"\n")
	l.must("chmod", "755", "/usr/bin/tailscale")
	d := l.startTailscaled("Running", "1.102.5")
	serve := regexp.MustCompile(`^tailscale serve --service=(svc:\S+) --tcp=(\d+) (\S+)\n$`).FindStringSubmatch(e.steps[0].text)
	if serve == nil {
		l.t.Fatalf("the command is %q", e.steps[0].text)
	}
	d.Forward(fmt.Sprintf(`{"Services":{%q:{"TCP":{%q:{"TCPForward":%q}}}}}`, serve[1], serve[2], serve[3]))
	if status, body := l.get("http://" + serve[3] + "/v1/nothing"); status != 403 || !strings.Contains(body, "access_denied") {
		l.t.Errorf("by default what the Service forwards gets %d %s", status, body)
	}
	l.wantAll(l.follow(e), "tailscale serve --service=")
	l.wantServedAt(serve[3])
}

const exampleID = "req_2UW7F5DVCYZYJ6E6ZLRVIWLW5I"

// failedRequest is refused by the API, and has the id.
func (l *lab) failedRequest() (id string) {
	l.t.Helper()
	response, err := l.client().Get("http://" + proxyAddr + "/v1/nothing")
	if err != nil {
		l.t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		l.t.Fatal(err)
	}
	id = response.Header.Get("X-Request-Id")
	daemontest.Eventually(l.t, "the request is in the journal", func() bool {
		records, err := l.Journal(contextOf(l.t), "REQUEST_ID="+id)
		return err == nil && len(records) > 0
	})
	return id
}

// readJournal has one request, which two of the commands find. The others find nothing, or wait for
// more.
func (l *lab) readJournal(e example) {
	id := l.failedRequest()
	found := 0
	for command := range strings.Lines(e.steps[0].text) {
		out := l.run("sh", "-c", "timeout 2 "+strings.ReplaceAll(command, exampleID, id))
		if out.Code != 0 && out.Code != 1 && out.Code != 124 || strings.Contains(out.Stderr, "Failed") {
			l.t.Errorf("%s: exit %d %s", command, out.Code, out.Stderr)
		}
		if strings.Contains(out.Stdout, "/v1/nothing") {
			found++
		}
	}
	if found != 2 {
		l.t.Errorf("%d commands find the request, want 2", found)
	}
}

func (l *lab) findRequest(e example) {
	id := l.failedRequest()
	for i := range e.steps {
		e.steps[i].text = strings.ReplaceAll(e.steps[i].text, exampleID, id)
	}
	printed := l.follow(e)
	l.wantAll(printed, id, "/v1/nothing")
	_, record, _ := strings.Cut(printed, "\n{")
	var fields map[string]any
	if err := json.Unmarshal([]byte("{"+record), &fields); err != nil || fields["UPSTREAM_REQUEST_ID"] == "" {
		l.t.Errorf("the record is %v: %v", fields, err)
	}
}
