package selftest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"oauth-proxyd/internal/config"
)

// verdicts draws the conclusions from all probes.
func verdicts(c *config.Config, probes []probe) []Verdict {
	return []Verdict{
		verdict("every request completes, and streams arrive event by event", probes, func(p probe) string { return p.Error }),
		verdict("the client's own features in anthropic-beta are kept", probes, probe.featureProblem),
		verdict("a request with an API key is accepted (200)", probes, probe.keyProblem),
		oauthVerdict(c, probes),
	}
}

// verdict fails if any probe has that problem; "" is none.
func verdict(name string, probes []probe, problem func(probe) string) Verdict {
	v := Verdict{Name: name, Status: OK}
	for _, p := range probes {
		if text := problem(p); text != "" {
			v.Status = Fail
			v.Details = append(v.Details, p.where()+": "+text)
		}
	}
	return v
}

func (p probe) where() string {
	if p.Listener == defaultListener {
		return p.Name
	}
	return fmt.Sprintf("%s, listener %q", p.Name, p.Listener)
}

func (p probe) featureProblem() string {
	if p.received == nil {
		return ""
	}
	got := config.AppendElements(nil, p.received["Anthropic-Beta"]...)
	lost := slices.DeleteFunc(config.AppendElements(nil, p.client.header["Anthropic-Beta"]...), func(f string) bool { return slices.Contains(got, f) })
	if len(lost) == 0 {
		return ""
	}
	return fmt.Sprintf("the client's own features are lost: %s; the API responds with %d; mode \"merge\" keeps them",
		strings.Join(lost, ", "), p.Status)
}

func (p probe) keyProblem() string {
	if p.client.oauth || p.received == nil || p.Status == http.StatusOK {
		return ""
	}
	return fmt.Sprintf("the response is %d", p.Status)
}

// oauthVerdict is about what the program is for. A client that the conditions leave out is only
// worth a warning if they let another in.
func oauthVerdict(c *config.Config, probes []probe) Verdict {
	v := Verdict{Name: "an OAuth token without " + oauthBeta + " is accepted (200)", Status: Fail}
	if slices.ContainsFunc(probes, func(p probe) bool { return p.client.oauth && p.Status == http.StatusOK }) {
		v.Status = OK
	}
	for _, p := range probes {
		if !p.client.oauth || p.received == nil || p.Status != http.StatusUnauthorized {
			continue
		}
		reason, intended := refusalReason(c, p)
		switch {
		case !intended:
			v.Status = Fail
		case v.Status == OK:
			v.Status = Warn
		}
		v.Details = append(v.Details, p.where()+": an OAuth token would be refused with 401: "+reason)
	}
	if v.Status == Fail && len(v.Details) == 0 {
		v.Details = []string{"no request with an OAuth token was accepted"}
	}
	return v
}

// refusalReason says why no rule helped, and whether the conditions of the rules intend that.
func refusalReason(c *config.Config, p probe) (reason string, intended bool) {
	var adding []Rule
	for i, h := range c.Headers {
		if i < len(p.Rules) && h.Name == "Anthropic-Beta" && slices.Contains(config.AppendElements(nil, h.Value), oauthBeta) {
			adding = append(adding, p.Rules[i])
		}
	}
	if len(adding) == 0 {
		return "no rule adds " + oauthBeta, false
	}
	for _, r := range adding {
		switch r.Result {
		case "skipped":
		case "present": // as mode default says of a list that lacks it
			return fmt.Sprintf("%s: %s leaves the client's own list as it is; mode \"merge\" adds to it", r.Name, r.Does), false
		default:
			return fmt.Sprintf("although %s: %s was %s", r.Name, r.Does, r.Result), false
		}
	}
	return "the condition of " + adding[0].Name + " leaves it out", true
}
