package config

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// anyOrigin stands for every web page.
const anyOrigin = "*"

// origins binds a list of origins of web pages (RFC 6454, section 6.2), in the spelling of
// browsers, so that they can be compared with an Origin header as they are.
func origins(name string, field *[]string) attribute {
	return attribute{
		name: name,
		want: `a list of strings such as ["https://chat.example.com"]`,
		kind: listKind(),
		set: func(v cty.Value) []fault {
			list, faults := parseOrigins(v)
			if len(faults) == 0 {
				*field = list
			}
			return faults
		},
		get: func() string { return spellStrings(*field) },
	}
}

func parseOrigins(list cty.Value) ([]string, []fault) {
	found := []string{}
	var faults []fault
	for i, v := range list.AsValueSlice() {
		origin, wrong := parseOriginElement(v)
		if wrong != nil {
			wrong.element = i + 1
			faults = append(faults, *wrong)
			continue
		}
		found = append(found, origin)
	}
	return found, faults
}

func parseOriginElement(v cty.Value) (string, *fault) {
	if v.IsNull() || v.Type() != cty.String {
		return "", &fault{
			summary: "an entry is " + describe(v),
			hint:    `entries are strings such as "https://chat.example.com", in quotes`,
		}
	}
	return parseOrigin(v.AsString())
}

func parseOrigin(s string) (string, *fault) {
	const example = "https://chat.example.com"
	scheme, rest, isURL := strings.Cut(strings.ToLower(s), "://")
	switch {
	case s == anyOrigin:
		return s, nil
	case s == "null":
		return "", &fault{
			summary: quote(s) + " is an origin that any web page can have",
			hint:    `let in all of them with "*", or serve the page from an origin of its own`,
		}
	case isURL && scheme != "http" && scheme != "https" && isFieldName(scheme):
		return "", &fault{
			summary: quote(s) + " is not the origin of a web page",
			hint:    "leave it out: programs with a scheme of their own are served without",
		}
	case strings.HasSuffix(s, "/"):
		return "", &fault{summary: quote(s) + " has a slash at its end, which no origin has", hint: "write " + strconv.Quote(strings.TrimRight(s, "/"))}
	case !isURL && isHostname(s):
		return "", &fault{summary: quote(s) + " has no scheme", hint: "write " + strconv.Quote("https://"+s)}
	case strings.ContainsAny(rest, "/?#") && !strings.Contains(s, "@"):
		return "", &fault{summary: quote(s) + " is more than an origin", hint: "write the scheme and the host alone, such as " + strconv.Quote(example)}
	case strings.Contains(s, anyOrigin):
		return "", &fault{summary: quote(s) + " is not an origin: only " + strconv.Quote(anyOrigin) + " alone stands for others", hint: "list each origin"}
	}
	u, wrong := parseBareURL(s, example)
	if wrong != nil {
		wrong.summary = "an entry is not an origin: " + wrong.summary
		return "", wrong
	}
	return spellOrigin(u), nil
}

// spellOrigin leaves out the port that is the scheme's own, as browsers do.
func spellOrigin(u *url.URL) string {
	usual := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(u.Host, usual)
}

func spellStrings(list []string) string {
	words := slices.Clone(list)
	for i, s := range list {
		words[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(words, ", ") + "]"
}
