package selftest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"oauth-proxyd/internal/config"
)

// verdicts draws the conclusions from all clients.
func verdicts(settings *config.Config, all []Client) []Verdict {
	return []Verdict{
		verdict("every request completes, and streams arrive event by event", all, func(c Client) string { return c.Error }),
		verdict("the client's own features in anthropic-beta are kept", all, Client.featureProblem),
		verdict("a request with an API key is accepted (200)", all, Client.keyProblem),
		oauthVerdict(settings, all),
	}
}

// verdict fails if problem returns a text for any client.
func verdict(name string, all []Client, problem func(Client) string) Verdict {
	v := Verdict{Name: name, Status: OK}
	for _, c := range all {
		if text := problem(c); text != "" {
			v.Status = Fail
			v.Details = append(v.Details, c.where()+": "+text)
		}
	}
	return v
}

func (c Client) where() string {
	if c.Listener == defaultListener {
		return c.Name
	}
	return fmt.Sprintf("%s, listener %q", c.Name, c.Listener)
}

func (c Client) featureProblem() string {
	if c.received == nil {
		return ""
	}
	got := config.AppendElements(nil, c.received["Anthropic-Beta"]...)
	lost := slices.DeleteFunc(config.AppendElements(nil, c.header["Anthropic-Beta"]...), func(f string) bool { return slices.Contains(got, f) })
	if len(lost) == 0 {
		return ""
	}
	return fmt.Sprintf("the client's own features are lost: %s; the API responds with %d; mode \"merge\" keeps them",
		strings.Join(lost, ", "), c.Status)
}

func (c Client) keyProblem() string {
	if c.oauth || c.received == nil || c.Status == http.StatusOK {
		return ""
	}
	return c.refused()
}

// refused says how the API refused the request, and which rules changed a header that it names.
func (c Client) refused() string {
	var text strings.Builder
	text.WriteString(fmt.Sprintf("the response is %d: %s", c.Status, c.refusal))
	for _, r := range c.Rules {
		if r.Result != "skipped" && strings.Contains(c.refusal, r.header) {
			text.WriteString(fmt.Sprintf("; because of %s: %s: %s", r.Name, r.Does, r.Result))
		}
	}
	return strings.TrimSuffix(text.String(), ": ")
}

// oauthVerdict judges whether the rules do what the program is for. A client that the conditions
// leave out is only worth a warning if they let another client in.
func oauthVerdict(settings *config.Config, all []Client) Verdict {
	v := Verdict{Name: "an OAuth token without " + oauthBeta + " is accepted (200)", Status: Fail}
	if slices.ContainsFunc(all, func(c Client) bool { return c.oauth && c.Status == http.StatusOK }) {
		v.Status = OK
	}
	for _, c := range all {
		switch {
		case !c.oauth, c.received == nil, c.Status == http.StatusOK, c.featureProblem() != "":
			continue
		case c.Status != http.StatusUnauthorized:
			v.Status = Fail
			v.Details = append(v.Details, c.where()+": "+c.refused())
			continue
		}
		reason, intended := refusalReason(settings, c)
		switch {
		case !intended:
			v.Status = Fail
		case v.Status == OK:
			v.Status = Warn
		}
		v.Details = append(v.Details, c.where()+": an OAuth token would be refused with 401: "+reason)
	}
	if v.Status == Fail && len(v.Details) == 0 {
		v.Details = []string{"no request with an OAuth token was accepted"}
	}
	return v
}

// refusalReason says why no rule helped, and whether the conditions of the rules intend that.
func refusalReason(settings *config.Config, c Client) (reason string, intended bool) {
	reason = "no rule adds " + oauthBeta
	for i, h := range settings.Headers {
		if i >= len(c.Rules) || h.Name != "Anthropic-Beta" || !slices.Contains(config.AppendElements(nil, h.Value), oauthBeta) {
			continue
		}
		switch r := c.Rules[i]; r.Result {
		case "skipped":
			reason, intended = "the condition of "+r.Name+" leaves it out", true
		case "present": // as mode default says of a list that lacks it
			return fmt.Sprintf("%s: %s leaves the client's own list as it is; mode \"merge\" adds to it", r.Name, r.Does), false
		default:
			return fmt.Sprintf("although %s: %s was %s", r.Name, r.Does, r.Result), false
		}
	}
	return reason, intended
}
