package config

import (
	"net/url"
	"slices"
	"strconv"

	"github.com/zclconf/go-cty/cty"
)

// maxProxies is how many proxies there may be: each that is dead costs a request time.
const maxProxies = 8

const proxyExample = "http://proxy.example.com:3128"

// proxyURLs binds the URL of an HTTP CONNECT proxy, a list of them, or nothing.
func proxyURLs(name string, field *[]*url.URL) attribute {
	return attribute{
		name:   name,
		want:   "a string such as " + strconv.Quote(proxyExample) + ", or a list of them",
		kind:   listKind(),
		single: true,
		set: func(v cty.Value) []fault {
			list, faults := parseProxies(v)
			if len(faults) == 0 {
				*field = list
			}
			return faults
		},
		get: func() string { return spellProxies(*field) },
	}
}

// parseProxies reads what the file says in either form.
func parseProxies(v cty.Value) ([]*url.URL, []fault) {
	if v.Type() == cty.String {
		if v.AsString() == "" {
			return nil, nil
		}
		u, wrong := parseProxy(v.AsString())
		if wrong != nil {
			return nil, []fault{*wrong}
		}
		return []*url.URL{u}, nil
	}
	if n := v.LengthInt(); n > maxProxies {
		return nil, []fault{{summary: "there are " + strconv.Itoa(n) + " proxies", hint: "at most " + strconv.Itoa(maxProxies)}}
	}
	var list []*url.URL
	var faults []fault
	for i, element := range v.AsValueSlice() {
		u, wrong := parseProxyElement(element, list)
		if wrong != nil {
			wrong.element = i + 1
			faults = append(faults, *wrong)
			continue
		}
		list = append(list, u)
	}
	return list, faults
}

func parseProxyElement(v cty.Value, before []*url.URL) (*url.URL, *fault) {
	if v.IsNull() || v.Type() != cty.String {
		return nil, &fault{
			summary: "an entry is " + describe(v),
			hint:    "entries are strings such as " + strconv.Quote(proxyExample) + ", in quotes",
		}
	}
	u, wrong := parseProxy(v.AsString())
	if wrong != nil {
		return nil, wrong
	}
	if slices.ContainsFunc(before, func(other *url.URL) bool { return sameProxy(u, other) }) {
		return nil, &fault{summary: quote(u.String()) + " is there twice", hint: "each proxy is tried once: leave one of them out"}
	}
	return u, nil
}

func parseProxy(s string) (*url.URL, *fault) {
	u, wrong := parseBareURL(s, proxyExample)
	if wrong == nil && u.Port() == "" {
		return nil, &fault{summary: "the URL has no port", hint: "a proxy has no usual one: " + strconv.Quote(proxyExample)}
	}
	return u, wrong
}

func sameProxy(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && samePort(a.Port(), b.Port()) && sameHost(a.Hostname(), b.Hostname())
}

// spellProxies gives the shorter form where one does.
func spellProxies(list []*url.URL) string {
	words := make([]string, len(list))
	for i, u := range list {
		words[i] = u.String()
	}
	switch len(words) {
	case 0:
		return strconv.Quote("")
	case 1:
		return strconv.Quote(words[0])
	default:
		return spellStrings(words)
	}
}
