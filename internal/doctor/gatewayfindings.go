package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
)

// arrived says what the gateway did to a probe and to its response.
func (x *facts) arrived(p *probe, r admin.ProbeReport) []Finding {
	if r.Refused != "" {
		f := fail("the request came from %s, and was refused: %s", r.Sender, r.Refused)
		if x.settings == nil || r.Entry == "" {
			return []Finding{f.fix("access.allow in " + x.File)}
		}
		return []Finding{f.fix(allowLine(x.settings, r.Entry), "oauth-proxyd reload")}
	}
	findings := []Finding{ok("the request came through %s, from %s", x.Through, r.Sender)}
	if r.Arrivals > 1 {
		findings = append(findings, warn("the gateway sent the request %d times", r.Arrivals).fix("turn its retries off: Claude Code retries on its own"))
	}
	return append(findings,
		at("gateway path", targetFinding(r)), at("gateway beta list", betaFinding(r)), at("gateway credential", credentialFinding(r)),
		at("gateway headers", headersFinding(p, r)), at("gateway stream", streamFinding(p, r)),
		at("gateway people", x.peopleFinding(r)))
}

// notArrived says why the daemon did not recognize the probe, as far as the gateway's response
// shows it.
func (x *facts) notArrived(ctx context.Context, p *probe) Finding {
	provider := "the gateway's provider: baseurl " + cmp.Or(x.baseURL(), "http://NODE:PORT of this daemon")
	known, err := x.Daemon.Explain(ctx, p.request.Header.Get("X-Request-Id"))
	switch {
	case err == nil && len(known) > 0:
		return fail("the gateway dropped the header of the probe, so the daemon sent the request on to the upstream; the response is %d", p.status).
			fix("have the gateway pass on the header " + strings.ToLower(admin.ProbeHeader))
	case p.status == http.StatusUnauthorized:
		return unknown("the gateway refused the made-up token of the probe with 401%s", p.errorType()).fix(
			"if it has a login of its own, as claude gateway has, send a prompt from a logged-in client: claude -p hi",
			"then see its line in the log, with its credential, anthropic-beta and person: "+cmp.Or(x.daemon.Log, "where the daemon was started"),
			"if nothing arrives: "+provider)
	case p.status != 0:
		return fail("the gateway responded with %d, and the request did not reach this daemon%s", p.status, p.errorType()).
			fix("a grant in the gateway for its models, to this node", "have the gateway pass on the header "+strings.ToLower(admin.ProbeHeader)).
			fix(provider, checkSender)
	}
	return fail("%s: %s; the request did not reach this daemon", p.request.URL.Host, plain(p.err)).
		fix("curl -v "+x.Through, provider, checkSender)
}

// errorType names the type of an API error, and the oauth-proxyd that sent it. It shows no other
// text of a gateway, which may have tokens and names.
func (p *probe) errorType() string {
	var response struct {
		Error struct{ Type, Message string }
	}
	_ = json.Unmarshal(p.body, &response) // else there is nothing to name
	text := ""
	if known := regexp.MustCompile(`^[a-z_]{1,40}$`).FindString(response.Error.Type); known != "" {
		text = ": " + known
	}
	if sender := regexp.MustCompile(`^oauth-proxyd@[\w.-]{1,64}`).FindString(response.Error.Message); sender != "" {
		text += ", from " + sender
	}
	return text
}

// checkSender is the command that checks whether the gateway may connect to this daemon.
const checkSender = "sudo oauth-proxyd doctor --peer NAME   # the gateway's"

func targetFinding(r admin.ProbeReport) Finding {
	path, query, _ := strings.Cut(r.Target, "?")
	switch {
	case path != "/v1/messages":
		return fail("/v1/messages arrived as %s", path).fix("the gateway's provider: baseurl without /v1 or another path")
	case !strings.Contains(query, "beta=true"):
		return warn("the gateway dropped the query ?beta=true").fix("have the gateway pass on the query")
	}
	return ok("%s", r.Target)
}

// betaFinding says whether the client's list of features arrived. Without it, the API refuses
// requests of Claude Code, whatever the rules here add.
func betaFinding(r admin.ProbeReport) Finding {
	arrived := config.AppendElements(nil, r.Header["Anthropic-Beta"]...)
	lost := slices.DeleteFunc(config.AppendElements(nil, sentBeta), func(s string) bool { return slices.Contains(arrived, s) })
	if len(lost) == 0 {
		return ok("the client's whole list arrived")
	}
	return fail("the client's features %s did not arrive; the API refuses requests of Claude Code with 400", strings.Join(lost, ", ")).
		fix("have the gateway pass on anthropic-beta unchanged; a header rule here can add " + config.OAuthBeta)
}

func credentialFinding(r admin.ProbeReport) Finding {
	const passthrough = `Aperture: "auth_mode": "passthrough" in the provider, and no "apikey"`
	switch {
	case r.APIKey:
		return fail("the gateway adds an x-api-key: the API bills that, not the client's subscription").fix(passthrough)
	case r.Authorization == "absent":
		return fail("the gateway drops Authorization: no client's login reaches the API").fix(passthrough)
	case r.Authorization != "same":
		return fail("the gateway replaces the client's Authorization").fix(passthrough)
	}
	return ok("the client's Authorization arrived unchanged")
}

func headersFinding(p *probe, r admin.ProbeReport) Finding {
	var changes []string
	for _, name := range admin.ProbeHeaders() {
		arrived, there := r.Header[name]
		switch {
		case name == "Anthropic-Beta": // betaFinding is about it
		case !there:
			changes = append(changes, "dropped: "+strings.ToLower(name))
		case !slices.Equal(arrived, p.request.Header[name]):
			changes = append(changes, "changed: "+strings.ToLower(name))
		}
	}
	if len(changes) == 0 {
		return ok("the other headers arrived unchanged")
	}
	f := warn("%s", strings.Join(changes, "; "))
	if slices.Contains(changes, "dropped: anthropic-version") {
		f.Status = Fail
	}
	return f.fix("have the gateway pass on headers unchanged: the API needs anthropic-version, and the others help to find a request")
}

// streamFinding compares the times at which events were sent and arrived, both by this host's
// clock.
func streamFinding(p *probe, r admin.ProbeReport) Finding {
	const unbuffer = "turn off buffering and compression of text/event-stream in the gateway"
	n := len(r.Sent)
	switch {
	case !r.Complete || len(p.arrivals) < n:
		return fail("the response was cut after %d of %d events", len(p.arrivals), n).fix("see the gateway's log, and its timeouts")
	case p.status != http.StatusOK:
		return fail("this daemon responded with 200, and the gateway with %d", p.status).fix("see the gateway's log")
	}
	var latest time.Duration
	late := 0 // events that arrived after the next one was sent
	for i, sent := range r.Sent {
		latest = max(latest, p.arrivals[i].Sub(sent))
		if i+1 < n && !p.arrivals[i].Before(r.Sent[i+1]) {
			late++
		}
	}
	switch late {
	case 0:
		return ok("%d events arrived one by one, each within %s", n, milliseconds(latest))
	case n - 1:
		return fail("buffered: none of %d events arrived before the next was sent; they were up to %s late", n, milliseconds(latest)).fix(unbuffer)
	}
	return warn("in bursts: %d of %d events arrived only after the next was sent, up to %s late", late, n, milliseconds(latest)).fix(unbuffer)
}

// peopleFinding says whether the gateway names the person behind a request, and whether the daemon
// believes it.
func (x *facts) peopleFinding(r admin.ProbeReport) Finding {
	switch {
	case r.Claimed && r.PersonDoubt == access.NotBelieved:
		return ok("the gateway passes on a name that the client chose; it is not in identity.from, so the daemon ignores the name and its people count as one sender")
	case r.Claimed:
		return fail("the gateway passes on a name that the client chose: any client can claim to be anybody").
			fix("have the gateway replace "+strings.ToLower(r.NamedIn[0])+", or remove it from identity.from", "oauth-proxyd reload")
	case r.Named:
		return ok("the gateway names people in %s: this request is from %s", strings.ToLower(r.NamedIn[0]), cmp.Or(r.Person, "a person whom log.identity hides"))
	case x.settings == nil:
		return unknown("the configuration was not read: it says which gateways may name people").fix("oauth-proxyd check --config " + x.File)
	}
	header := strings.ToLower(x.settings.Identity.Header)
	switch {
	case r.PersonDoubt != "" && r.PersonDoubt != access.NotBelieved:
		return warn("the gateway sends %s, but the daemon does not use it: %s", header, r.PersonDoubt).fix("see what the gateway puts into " + header)
	case len(r.NamedIn) > 0:
		return warn("the gateway names people in %s, but the block identity does not say so: they count as one sender", strings.ToLower(r.NamedIn[0])).
			fix(fmt.Sprintf("identity {\n  from   = %s\n  header = %q\n}",
				withEntry(x.settings.Identity.From, cmp.Or(r.Entry, "tag:NAME")), strings.ToLower(r.NamedIn[0])), "oauth-proxyd reload")
	case len(x.settings.Identity.From) > 0:
		return warn("the gateway names nobody: %s did not arrive", header).
			fix("claude gateway: forward_user_identity: true in its upstream", "another gateway: identity.header is the header in which it names people")
	}
	return ok("the gateway names nobody in a usual header: its people count as one sender")
}
