package doctor

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/term"
)

// arrived is about a probe that arrived: what the gateway did to it and to its response.
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
		findings = append(findings, warn("the gateway sent the request %d times", r.Arrivals).fix("switch its retries off: Claude Code has its own"))
	}
	return append(findings,
		at("gateway path", targetFinding(r)), at("gateway beta list", betaFinding(r)), at("gateway credential", credentialFinding(r)),
		at("gateway headers", headersFinding(p, r)), at("gateway stream", streamFinding(p, r)),
		at("gateway people", x.peopleFinding(r)))
}

// notArrived is about a gateway that cannot be reached, does not reach this daemon, refuses the
// request, leads elsewhere, or drops the header of the probe. What it responded says which.
func (x *facts) notArrived(p *probe) Finding {
	host, name := p.request.URL.Hostname(), "NAME   # the gateway's"
	if x.network != nil {
		if found := x.network.Find(host); len(found) == 1 {
			name = found[0].Name
		}
	}
	f := fail("the gateway responded with %d, and the request did not reach this daemon: %s", p.status, term.Cut(term.Clean(string(p.body)), 160)).
		fix("a grant in the gateway for its models, to this node", "have the gateway pass on the header "+strings.ToLower(admin.ProbeHeader))
	if p.status == 0 {
		f = fail("%s did not respond, and the request did not reach this daemon: %v", p.request.URL.Host, p.err).fix("curl -v " + x.Through)
	}
	if p.status == 0 && x.node.Userspace {
		f = f.fix("tailscaled has no network device here: HTTP_PROXY=http://… oauth-proxyd doctor …, with the address of its --outbound-http-proxy-listen")
	}
	return f.fix("the gateway's provider: baseurl "+x.baseURL(), "sudo oauth-proxyd doctor --peer "+name)
}

func targetFinding(r admin.ProbeReport) Finding {
	path, query, _ := strings.Cut(r.Target, "?")
	switch {
	case strings.HasSuffix(path, "/v1/v1/messages"):
		return fail("it came as %s", path).fix("the gateway's provider: baseurl without /v1")
	case path != "/v1/messages":
		return fail("it came as %s, and was sent as /v1/messages", path).fix("the gateway's provider: baseurl without a path")
	case !strings.Contains(query, "beta=true"):
		return warn("the query was dropped: ?beta=true").fix("see what the gateway does to queries")
	}
	return ok("%s", r.Target)
}

// betaFinding is about the client's list of features. Without them Claude Code's requests are
// refused, whatever the rules here add.
func betaFinding(r admin.ProbeReport) Finding {
	sent, arrived := config.AppendElements(nil, sentBeta), config.AppendElements(nil, r.Header["Anthropic-Beta"]...)
	lost, more := without(sent, arrived), without(arrived, sent)
	var f Finding
	switch {
	case len(lost) == 0 && len(more) == 0:
		f = ok("kept: the client's list came whole")
	case len(lost) == 0:
		f = ok("merged: the client's list came whole, with %s", strings.Join(more, ", "))
	case len(arrived) == 0:
		f = fail("dropped: of the client's features %s nothing came", strings.Join(sent, ", "))
	default:
		f = fail("replaced: the client's features %s are lost, %s came", strings.Join(lost, ", "), strings.Join(arrived, ", "))
	}
	if f.Status == Fail {
		f.Seen += "; Claude Code is refused with 400, or asks twice"
		f = f.fix("have the gateway pass anthropic-beta on as it comes; the rules here add " + oauthBeta)
	}
	if !slices.Contains(config.AppendElements(nil, r.Upstream...), oauthBeta) {
		f = fail("%s; and no rule here adds %s: a subscription's token is refused with 401", f.Seen, oauthBeta).fix(append(f.Fix, mergeRule)...)
	}
	return f
}

// without are the elements of all that are not in some.
func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

func credentialFinding(r admin.ProbeReport) Finding {
	const passthrough = `Aperture: "auth_mode": "passthrough" in the provider, and no "apikey"`
	switch {
	case r.APIKey:
		return fail("the gateway adds an x-api-key: the API bills that, not the client's subscription").fix(passthrough)
	case r.Authorization == "absent":
		return fail("the gateway takes Authorization out: no client's login gets through").fix(passthrough)
	case r.Authorization != "same":
		return fail("the gateway puts another Authorization in place of the client's").fix(passthrough)
	}
	return ok("the client's own came through unchanged")
}

// headersFinding is about the other headers.
func headersFinding(p *probe, r admin.ProbeReport) Finding {
	var changes []string
	for _, name := range admin.ProbeHeaders() {
		arrived, there := r.Header[name]
		switch {
		case name == "Anthropic-Beta": // see betaFinding
		case !there:
			changes = append(changes, "dropped: "+strings.ToLower(name))
		case !slices.Equal(arrived, p.request.Header[name]):
			changes = append(changes, "changed: "+strings.ToLower(name))
		}
	}
	if len(changes) == 0 {
		return ok("all others came unchanged")
	}
	f := warn("%s", strings.Join(changes, "; "))
	if slices.Contains(changes, "dropped: anthropic-version") {
		f.Status = Fail
	}
	return f.fix("see what the gateway does to headers; anthropic-version is needed, the others help to find a request again")
}

// streamFinding compares when events were sent with when they arrived. Both are of this host's
// clock.
func streamFinding(p *probe, r admin.ProbeReport) Finding {
	const unbuffer = "switch off buffering and compression of text/event-stream in the gateway"
	n := len(r.Sent)
	switch {
	case !r.Complete || len(p.arrivals) < n:
		return fail("the response broke off after %d events", len(p.arrivals)).fix("see the gateway's log, and its timeouts")
	case p.status != http.StatusOK:
		return fail("this daemon responded with 200, the gateway made %d of it", p.status).fix("see the gateway's log")
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
		return ok("%d events came one by one, within %s", n, milliseconds(latest))
	case n - 1:
		return fail("buffered: none of %d events came before the next was sent, they were up to %s late", n, milliseconds(latest)).fix(unbuffer)
	}
	return warn("in bursts: %d of %d events came only after the next was sent, up to %s late", late, n, milliseconds(latest)).fix(unbuffer)
}

// peopleFinding is about whether the gateway says for whom it sends a request, and whether it is
// believed.
func (x *facts) peopleFinding(r admin.ProbeReport) Finding {
	switch {
	case r.Claimed && r.PersonDoubt == access.NotBelieved:
		return ok("it passes on whom a client claims to be, and is not believed: its people count as one sender")
	case r.Claimed:
		return fail("it passes on whom a client claims to be: each can claim to be anybody").
			fix("have the gateway replace "+strings.ToLower(r.NamedIn[0])+", or take it out of identity.from", "oauth-proxyd reload")
	case r.Named:
		return ok("it names people in %s: this request is for %s", strings.ToLower(r.NamedIn[0]), cmp.Or(r.Person, "somebody whom log.identity hides"))
	case x.settings == nil:
		return unknown("whether it is believed: the configuration was not read").fix("oauth-proxyd check")
	}
	header := strings.ToLower(x.settings.Identity.Header)
	switch {
	case r.PersonDoubt != "" && r.PersonDoubt != access.NotBelieved:
		return warn("it sends %s, which is not believed: %s", header, r.PersonDoubt).fix("see what the gateway puts into " + header)
	case len(r.NamedIn) > 0:
		return warn("it names people in %s, and identity does not have it believed: they count as one sender", strings.ToLower(r.NamedIn[0])).
			fix(x.identityBlock(r), "oauth-proxyd reload")
	case len(x.settings.Identity.From) > 0:
		return warn("it names nobody: %s did not come", header).
			fix("claude gateway: forward_user_identity: true in its upstream", "another gateway: its own header, in identity")
	}
	return ok("it names nobody: its people count as one sender")
}

// identityBlock has the gateway believed, to paste.
func (x *facts) identityBlock(r admin.ProbeReport) string {
	from := withEntry(x.settings.Identity.From, cmp.Or(r.Gateway, "tag:NAME"))
	return fmt.Sprintf("identity {\n  from   = %s\n  header = %q\n}", from, strings.ToLower(r.NamedIn[0]))
}
