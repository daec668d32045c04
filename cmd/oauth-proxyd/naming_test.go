package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

const (
	// alice and bot are peers. All of their names have a seed that the tests search for.
	alice = `{"Node":{"StableID":"n5eedALICE","Name":"alice-5eed.tail.ts.net."},
		"UserProfile":{"LoginName":"alice@5eed.example"}}`
	bot = `{"Node":{"StableID":"n5eedBOT","Name":"bot-5eed.tail.ts.net.","Tags":["tag:5eed"]},
		"UserProfile":{"LoginName":"tagged-devices"}}`
	// carol is the person that a gateway names.
	carol = "carol-5eed@example.com"
	// gossip is a warning of tailscaled with names in no known form.
	gossip = "no luck with 5eed, alice's machine, at 100.64.5.99"
)

// named returns the seeds that nothing may show where names are withheld.
func named() []string { return []string{"5eed", "alice", "100.64.5.99"} }

// outputs is everything that a service wrote and showed, by its source.
type outputs struct {
	t    *testing.T
	s    *service
	text map[string]string
}

// command keeps the output of a command.
func (k *outputs) command(args ...string) {
	k.t.Helper()
	_, out, errs := k.s.command(args...)
	k.text[fmt.Sprintf("%q, time %d", args, len(k.text))] = out + errs
}

// response keeps our own response and the explanation of its request.
func (k *outputs) response(a daemontest.Response) {
	k.t.Helper()
	k.text[fmt.Sprintf("response %d", len(k.text))] = fmt.Sprint(a.Header, a.Body)
	k.command("explain", a.Header.Get("X-Request-Id"))
	k.command("explain", "--json", a.Header.Get("X-Request-Id"))
}

// look keeps what the daemon shows at this moment.
func (k *outputs) look() {
	k.t.Helper()
	for _, args := range [][]string{{"requests"}, {"requests", "--json"}, {"status"}, {"status", "--json"}} {
		k.command(args...)
	}
	k.text[fmt.Sprintf("/health, time %d", len(k.text))] = get(k.t, k.s.url()+"/health").Body
	k.text[fmt.Sprintf("/metrics, time %d", len(k.text))] = get(k.t, k.s.url()+"/metrics").Body
}

// throughGateway keeps what doctor reports about the sender.
func (k *outputs) throughGateway() {
	k.t.Helper()
	d, _ := k.s.doctor("--through", gateway{change: func(r *http.Request) { r.Header.Set(personHeader, carol) }}.run(k.t, k.s.url()).URL)
	found := append(d.of("gateway"), d.of("gateway people")...)
	if len(found) == 0 {
		k.t.Errorf("doctor has no finding on the gateway: %+v", d.Findings)
	}
	k.text[fmt.Sprintf("doctor, time %d", len(k.text))] = fmt.Sprint(found)
}

// everyKindOfRecord makes the daemon write and show everything that it can about a peer.
func everyKindOfRecord(t *testing.T, mode string) *outputs {
	t.Helper()
	u, d := newUpstream(t), runTailscaled(t, "Running")
	d.Deliver(alice)
	d.Warn(gossip)
	config := func(allow string) string {
		return forwarding(u.URL, "", onTailnet(d, "wait"), mergeBeta,
			fmt.Sprintf("log {\n  identity = %q\n}\naccess {\n  allow = [%q]\n}\nidentity {\n  from = [\"tailnet\"]\n}\n", mode, allow))
	}
	s := start(t, unit{config: config("tailnet"), debug: true})
	k := &outputs{t: t, s: s, text: map[string]string{}}
	k.response(get(t, s.url()+"/echo", personHeader, carol))
	cut := background(t, newClient(t), http.MethodPost, s.url()+"/stream", "hello", personHeader, carol)
	u.await(t)
	k.look() // while it is in flight
	u.CloseClientConnections()
	cut()
	k.throughGateway()
	d.Deliver(bot)
	k.response(get(t, s.url()+"/echo"))
	s.log.Next(t, "tailscaled warns")
	s.configure(config("node:another-node"))
	if code, _, errs := s.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	k.response(get(t, s.url()+"/echo"))
	d.Deliver(alice)
	k.response(get(t, s.url()+"/echo"))
	k.throughGateway()
	k.look()
	d.Fail(gossip)
	s.log.Next(t, "the tailnet is not connected")
	k.response(get(t, s.url()+"/echo"))
	k.look()
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	k.text["the log"], k.text["standard output"], k.text["the notifications"] = s.log.Text(), s.stdout.Text(), s.notes.Text()
	return k
}

func TestLogIdentityInEveryRecord(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hashed", "none"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			k := everyKindOfRecord(t, mode)
			for where, text := range k.text {
				for _, name := range named() {
					if i := strings.Index(text, name); i >= 0 {
						t.Errorf("%s: …%s…", where, text[max(0, i-200):min(len(text), i+100)])
					}
				}
			}
			k.wantKinds(t)
		})
	}
}

// With "full", the operator finds names in the log and on the admin socket, but a client sees none.
func TestNamesAreForTheOperator(t *testing.T) {
	t.Parallel()
	k := everyKindOfRecord(t, "full")
	k.wantKinds(t)
	all := ""
	for where, text := range k.text {
		all += text
		if strings.HasPrefix(where, "response") && (strings.Contains(text, "5eed") || strings.Contains(text, "access.allow")) {
			t.Errorf("a client sees %s", text)
		}
	}
	for _, want := range []string{
		`"node":"alice-5eed.tail.ts.net"`, `"user":"alice@5eed.example"`, `"tags":"tag:5eed"`, `"warning":"` + gossip + `"`,
		"from tailnet alice-5eed.tail.ts.net (alice@5eed.example)", "used by", "from alice-5eed.tail.ts.net (alice@5eed.example)",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("nowhere is %q", want)
		}
	}
}

// wantKinds wants each kind of record to be there: otherwise the search proves nothing.
func (k *outputs) wantKinds(t *testing.T) {
	t.Helper()
	log := k.text["the log"]
	for _, want := range []string{
		`"outcome":"ok"`, `"outcome":"access_denied"`, `"outcome":"tailnet_unavailable"`, `"outcome":"upstream_interrupted"`,
		`"msg":"a probe of doctor arrived"`, `"msg":"tailscaled warns"`, `"msg":"the tailnet is not connected"`,
		"no entry of the access list matches this sender",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

// After a reload that withholds names, those of earlier requests are withheld, too.
func TestReloadWithholdsNames(t *testing.T) {
	t.Parallel()
	u, d := newUpstream(t), runTailscaled(t, "Running")
	d.Deliver(alice)
	config := func(mode string) string {
		return forwarding(u.URL, "", onTailnet(d, "wait"), fmt.Sprintf("log {\n  identity = %q\n}\n", mode))
	}
	s := start(t, unit{config: config("full")})
	id := get(t, s.url()+"/echo").Header.Get("X-Request-Id")
	s.log.Next(t, `"node":"alice-5eed.tail.ts.net"`)
	s.configure(config("none"))
	if code, _, errs := s.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	for _, args := range [][]string{{"explain", id}, {"status", "--json"}} {
		if _, out, errs := s.command(args...); strings.Contains(out+errs, "5eed") || out == "" {
			t.Errorf("%q: %s%s", args, out, errs)
		}
	}
}
