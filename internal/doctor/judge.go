package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"oauth-proxyd/internal/daemon"
)

// judge says what a gateway did to the request and to its answer.
func (x *exam) judge(a *attempt, r daemon.ProbeReport) []Finding {
	switch {
	case r.Arrivals == 0:
		return []Finding{x.neverCame(a)}
	case r.Refused != "":
		return []Finding{x.refusedHere(r)}
	}
	findings := []Finding{ok("the request came through %s, from %s", x.Through, r.Sender)}
	if r.Arrivals > 1 {
		findings = append(findings, warn("the gateway sent the request %d times", r.Arrivals).mend("switch its retries off: Claude Code has its own"))
	}
	return append(findings, judgePath(r), judgeBeta(r), judgeAuthorization(r), judgeHeaders(a, r), judgeBody(r), judgeStream(a, r), judgeAnswerBytes(a, r))
}

// refusedHere is about a gateway that access.allow keeps out.
func (x *exam) refusedHere(r daemon.ProbeReport) Finding {
	f := fail("the request came from %s, and was refused: %s", r.Sender, r.Refused)
	if x.settings == nil || r.Entry == "" {
		return f.mend("access.allow in " + x.File)
	}
	return f.mend(allowLine(x.settings, r.Entry), "oauth-proxyd reload")
}

// unmarked is about a gateway that sends the request on without its mark.
func unmarked() Finding {
	header := strings.ToLower(daemon.ProbeHeader)
	return fail("the request came to this daemon without the header %s, and went to the API like any other: the gateway drops headers that it does not know", header).
		mend("have the gateway pass on "+header, "or compare what it sends with oauth-proxyd explain, by the x-request-id")
}

// neverCame tells a gateway that cannot be reached, one that cannot reach us, and one
// that leads elsewhere apart.
func (x *exam) neverCame(a *attempt) Finding {
	host := a.request.URL.Hostname()
	toUs := []string{"the gateway's provider: baseurl " + x.baseURL(), "sudo oauth-proxyd doctor --peer " + x.gatewayNode(host)}
	_, isDNS := errors.AsType[*net.DNSError](a.err)
	switch {
	case a.status == 0 && (isDNS || a.err != nil && strings.Contains(a.err.Error(), "no such host")):
		return fail("the name %s does not resolve here", host).mend(x.mendName(host)...)
	case a.status == 0 && errors.Is(a.err, syscall.ECONNREFUSED):
		return fail("nothing listens at %s", a.request.URL.Host).mend("is the gateway running, and is this its port?")
	case a.status == 0 && isTimeout(a.err):
		return fail("%s gave no answer, and this daemon saw nothing of the request", a.request.URL.Host).mend(toUs...)
	case a.status == 0:
		return fail("%s: %v", a.request.URL.Host, a.err).mend("curl -v " + x.Through)
	case strings.HasPrefix(a.header.Get("Proxy-Status"), "oauth-proxyd"):
		return fail("the gateway leads to another oauth-proxyd than this one, which answered %d", a.status).mend(toUs...)
	case a.status == http.StatusBadGateway, a.status == http.StatusServiceUnavailable, a.status == http.StatusGatewayTimeout:
		return fail("the gateway answered %d, and this daemon saw nothing of the request: it does not reach us%s", a.status, quoteAnswer(a)).mend(toUs...)
	}
	return fail("the gateway answered %d, and this daemon saw nothing of the request: it refused it by itself, or leads elsewhere%s", a.status, quoteAnswer(a)).
		mend(append(toUs, "a grant in the gateway for its models, to this node")...)
}

// gatewayNode is the name of the gateway's node if the tailnet knows it.
func (x *exam) gatewayNode(host string) string {
	if x.network != nil {
		if found := x.network.Find(host); len(found) == 1 {
			return found[0].Name
		}
	}
	return "NAME   # the gateway's"
}

func (x *exam) mendName(host string) []string {
	if x.node.Userspace {
		return []string{"tailscaled has no network device here: HTTP_PROXY=http://… oauth-proxyd doctor …, with the address of its --outbound-http-proxy-listen"}
	}
	return []string{"getent hosts " + host, "the gateway's full name, which ends in .ts.net"}
}

func isTimeout(err error) bool {
	timeout, is := errors.AsType[net.Error](err)
	return is && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// quoteAnswer is the message of an error in Anthropic's shape or the like.
func quoteAnswer(a *attempt) string {
	var answer struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
		Message string `json:"message"`
	}
	if json.Unmarshal(a.body, &answer) != nil || answer.Error.Message+answer.Message == "" {
		return ""
	}
	const longest = 160
	text := []rune(answer.Error.Message + answer.Message)
	return fmt.Sprintf(" (%q)", string(text[:min(len(text), longest)]))
}

// named sets the check of a finding about a gateway.
func named(check string, f Finding) Finding { return at("gateway "+check, f) }

func judgePath(r daemon.ProbeReport) Finding {
	switch {
	case strings.HasSuffix(r.Path, "/v1/v1/messages"):
		return named("path", fail("it came as %s", r.Path).mend("the gateway's provider: baseurl without /v1"))
	case r.Path != "/v1/messages":
		return named("path", fail("it came as %s %s, and was sent as POST /v1/messages", r.Method, r.Path).mend("the gateway's provider: baseurl without a path"))
	case !r.Query:
		return named("path", warn("the query was dropped: ?beta=true").mend("see what the gateway does to queries"))
	}
	return named("path", ok("%s %s, %s", r.Method, r.Path, r.Protocol))
}

// judgeBeta says what became of the client's list of features. Without them Claude
// Code's requests are refused, whatever the rules here add.
func judgeBeta(r daemon.ProbeReport) Finding {
	sent := strings.Split(sentBeta, ",")
	came := elements(r.Header["Anthropic-Beta"])
	lost := without(sent, came)
	var f Finding
	switch {
	case slices.Equal(sent, came):
		f = ok("kept: the client's list came whole")
	case len(lost) == 0:
		f = ok("merged: the client's list came whole, with %s", strings.Join(without(came, sent), ", "))
	case len(came) == 0:
		f = fail("dropped: of the client's features %s nothing came", strings.Join(sent, ", "))
	default:
		f = fail("replaced: the client's features %s are lost, %s came", strings.Join(lost, ", "), strings.Join(came, ", "))
	}
	if f.Status == Fail {
		f.Seen += "; Claude Code is refused with 400, or asks twice"
		f = f.mend("have the gateway pass anthropic-beta on as it comes; the rules here add " + oauthBeta)
	}
	if !slices.Contains(r.Upstream, oauthBeta) {
		f = fail("%s; and no rule here adds %s: a subscription's token is refused with 401", f.Seen, oauthBeta).
			mend(append(f.Mend, "header \"anthropic-beta\" {\n  value = \""+oauthBeta+"\"\n  mode  = \"merge\"\n}")...)
	}
	return named("beta list", f)
}

// elements are those of a comma-separated list in any number of lines (RFC 9110 §5.6.1).
func elements(lines []string) []string {
	var all []string
	for element := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if element = strings.TrimSpace(element); element != "" {
			all = append(all, element)
		}
	}
	return all
}

// without are the elements of all that are not in some.
func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

func judgeAuthorization(r daemon.ProbeReport) Finding {
	passthrough := "Aperture: \"auth_mode\": \"passthrough\" in the provider, and no \"apikey\""
	var f Finding
	switch {
	case r.APIKey:
		f = fail("the gateway adds an x-api-key: the API bills that, not the client's subscription").mend(passthrough)
	case r.Authorization == daemon.Absent:
		f = fail("the gateway takes Authorization out: no client's login gets through").mend(passthrough)
	case r.Authorization != daemon.Same:
		f = fail("the gateway puts another Authorization in place of the client's").mend(passthrough)
	default:
		f = ok("the client's own came through unchanged")
	}
	return named("credential", f)
}

// judgeHeaders is about the other headers that were sent.
func judgeHeaders(a *attempt, r daemon.ProbeReport) Finding {
	var lost, changed []string
	for _, name := range daemon.ProbeHeaders() {
		values := a.request.Header[name]
		came, there := r.Header[name]
		switch {
		case name == "Anthropic-Beta":
		case !there:
			lost = append(lost, strings.ToLower(name))
		case !slices.Equal(came, values):
			changed = append(changed, strings.ToLower(name))
		}
	}
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"dropped", lost}, {"changed", changed}} {
		if len(p.names) > 0 {
			parts = append(parts, p.what+": "+strings.Join(p.names, ", "))
		}
	}
	if len(parts) == 0 {
		return named("headers", ok("all others came unchanged"))
	}
	f := warn("%s", strings.Join(parts, "; "))
	if slices.Contains(lost, "anthropic-version") {
		f.Status = Fail
	}
	return named("headers", f.mend("see what the gateway does to headers; anthropic-version is needed, the others help to find a request again"))
}

func judgeBody(r daemon.ProbeReport) Finding {
	if r.Body != daemon.Same {
		return named("body", warn("the gateway writes the body anew: fields that it does not know may be lost").mend("have the gateway pass bodies on as they come"))
	}
	return named("body", ok("came byte for byte"))
}

// judgeStream compares when events were sent with when they came. Both are of this
// host's clock.
func judgeStream(a *attempt, r daemon.ProbeReport) Finding {
	unbuffer := "switch off buffering and compression of text/event-stream in the gateway"
	n := len(r.Sent)
	switch {
	case r.ResponseSHA256 == "" || len(a.arrivals) < n: // the daemon could not send it whole, or it did not come whole
		return named("stream", fail("the answer broke off after %d events%s", len(a.arrivals), because(a.err)).mend("see the gateway's log, and its timeouts"))
	case a.status != http.StatusOK:
		return named("stream", fail("this daemon answered 200, the gateway made %d of it", a.status).mend("see the gateway's log"))
	case !a.arrivals[0].Before(r.Sent[n-1]):
		return named("stream", fail("buffered: all %d events came at once, %s after the first was sent", n, milliseconds(a.arrivals[0].Sub(r.Sent[0]))).mend(unbuffer))
	}
	var late time.Duration
	bursts := 0
	for i, sent := range r.Sent {
		late = max(late, a.arrivals[i].Sub(sent))
		if i+1 < n && !a.arrivals[i].Before(r.Sent[i+1]) {
			bursts++
		}
	}
	if bursts > 0 {
		return named("stream", warn("in bursts: %d of %d events came only after the next was sent, %s late", bursts, n, milliseconds(late)).mend(unbuffer))
	}
	return named("stream", ok("%d events came one by one, within %s", n, milliseconds(late)))
}

// because goes on with an error, if there is one.
func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

func judgeAnswerBytes(a *attempt, r daemon.ProbeReport) Finding {
	if hash(a.body) != r.ResponseSHA256 {
		return named("answer", warn("the gateway changes the answer's bytes").mend("have the gateway pass answers on as they come"))
	}
	return named("answer", ok("came byte for byte"))
}
