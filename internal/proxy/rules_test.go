package proxy

import (
	"net/http"
	"slices"
	"testing"

	"oauth-proxyd/internal/config"
)

func TestRules(t *testing.T) {
	cases := []struct {
		name   string
		mode   config.Mode
		value  string
		old    []string // nil: the request has none
		want   []string
		result string
	}{
		{"set a missing one", config.ModeSet, "v", nil, []string{"v"}, ruleAdded},
		{"set the same", config.ModeSet, "v", []string{"v"}, []string{"v"}, rulePresent},
		{"set over another", config.ModeSet, "v", []string{"w"}, []string{"v"}, ruleReplaced},
		{"set over several", config.ModeSet, "v", []string{"v", "w"}, []string{"v"}, ruleReplaced},
		{"default of a missing one", config.ModeDefault, "v", nil, []string{"v"}, ruleAdded},
		{"default of one that is there", config.ModeDefault, "v", []string{"w", "x"}, []string{"w", "x"}, rulePresent},
		{"default of an empty one", config.ModeDefault, "v", []string{""}, []string{""}, rulePresent},
		{"remove", config.ModeRemove, "", []string{"w", "x"}, nil, ruleRemoved},
		{"remove a missing one", config.ModeRemove, "", nil, nil, rulePresent},
		{"merge into none", config.ModeMerge, "v", nil, []string{"v"}, ruleAdded},
		{"merge into an empty one", config.ModeMerge, "v", []string{""}, []string{"v"}, ruleAdded},
		{"merge into another", config.ModeMerge, "v", []string{"w"}, []string{"w,v"}, ruleAdded},
		{"merge into itself", config.ModeMerge, "v", []string{"v"}, []string{"v"}, rulePresent},
		{"merge keeps the order", config.ModeMerge, "v", []string{"c, a", "b"}, []string{"c,a,b,v"}, ruleAdded},
		{"merge finds it in the middle", config.ModeMerge, "v", []string{"a, v ,b"}, []string{"a,v,b"}, rulePresent},
		{"merge finds it in another line", config.ModeMerge, "v", []string{"a", "v"}, []string{"a,v"}, rulePresent},
		{"merge drops duplicates", config.ModeMerge, "v", []string{"a,a", "b, a"}, []string{"a,b,v"}, ruleAdded},
		{"merge drops empties", config.ModeMerge, "v", []string{",a,, ,\t,b,", ","}, []string{"a,b,v"}, ruleAdded},
		{"merge minds the case", config.ModeMerge, "v", []string{"V"}, []string{"V,v"}, ruleAdded},
		{"merge finds no part of a word", config.ModeMerge, "v", []string{"v1,1v"}, []string{"v1,1v,v"}, ruleAdded},
		{"merge of several", config.ModeMerge, "a, v", []string{"b,a"}, []string{"b,a,v"}, ruleAdded},
		{"merge leaves a quoted comma", config.ModeMerge, "v", []string{`a="x, v", b`}, []string{`a="x, v",b,v`}, ruleAdded},
		{"merge leaves an escaped quote", config.ModeMerge, "v", []string{`"x\", v", b`}, []string{`"x\", v",b,v`}, ruleAdded},
		{"merge keeps spaces inside", config.ModeMerge, "v", []string{"a b ; c"}, []string{"a b ; c,v"}, ruleAdded},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{"Other": {"o"}}
			if c.old != nil {
				h["X-A"] = c.old
			}
			result := apply(config.Header{Name: "X-A", Value: c.value, Mode: c.mode}, h, &http.Request{}, "")
			if result != c.result || !slices.Equal(h["X-A"], c.want) || h.Get("Other") != "o" {
				t.Errorf("%v: %q, want %v: %q", result, h["X-A"], c.result, c.want)
			}
			if _, there := h["X-A"]; there != (c.want != nil) {
				t.Errorf("there: %v", there)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	in := &http.Request{RequestURI: "/v1/messages", Header: http.Header{"Authorization": {"Bearer sk-ant-oat01-x"}, "User-Agent": {"claude-cli/2"}}}
	cases := []struct {
		name string
		when config.When
		want bool
	}{
		{"none", config.When{}, true},
		{"bearer", config.When{BearerPrefix: "sk-ant-oat"}, true},
		{"another bearer", config.When{BearerPrefix: "sk-ant-api"}, false},
		{"path", config.When{PathPrefix: "/v1/"}, true},
		{"another path", config.When{PathPrefix: "/v2/"}, false},
		{"user agent", config.When{UserAgentPrefix: "claude-cli/"}, true},
		{"another user agent", config.When{UserAgentPrefix: "claude-cli/3"}, false},
		{"listener", config.When{Listener: "proxy"}, true},
		{"beginning of a listener", config.When{Listener: "pro"}, false},
		{"all", config.When{BearerPrefix: "sk-ant-oat", PathPrefix: "/v1/", UserAgentPrefix: "claude-cli/", Listener: "proxy"}, true},
		{"all but one", config.When{BearerPrefix: "sk-ant-oat", PathPrefix: "/v1/", UserAgentPrefix: "curl/", Listener: "proxy"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{}
			result := apply(config.Header{Name: "X-A", Value: "v", When: c.when}, h, in, "proxy")
			if (result != ruleSkipped) != c.want || (len(h) > 0) != c.want {
				t.Errorf("%v, %v; want it to hold: %v", result, h, c.want)
			}
		})
	}
}
