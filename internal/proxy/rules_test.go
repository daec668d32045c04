package proxy

import (
	"net/http"
	"slices"
	"testing"
)

func TestRules(t *testing.T) {
	cases := []struct {
		name   string
		mode   Mode
		value  string
		old    []string // nil: the request has none
		want   []string
		result RuleResult
	}{
		{"set a missing one", ModeSet, "v", nil, []string{"v"}, RuleAdded},
		{"set the same", ModeSet, "v", []string{"v"}, []string{"v"}, RulePresent},
		{"set over another", ModeSet, "v", []string{"w"}, []string{"v"}, RuleReplaced},
		{"set over several", ModeSet, "v", []string{"v", "w"}, []string{"v"}, RuleReplaced},
		{"default of a missing one", ModeDefault, "v", nil, []string{"v"}, RuleAdded},
		{"default of one that is there", ModeDefault, "v", []string{"w", "x"}, []string{"w", "x"}, RulePresent},
		{"default of an empty one", ModeDefault, "v", []string{""}, []string{""}, RulePresent},
		{"remove", ModeRemove, "", []string{"w", "x"}, nil, RuleRemoved},
		{"remove a missing one", ModeRemove, "", nil, nil, RulePresent},
		{"merge into none", ModeMerge, "v", nil, []string{"v"}, RuleAdded},
		{"merge into an empty one", ModeMerge, "v", []string{""}, []string{"v"}, RuleAdded},
		{"merge into another", ModeMerge, "v", []string{"w"}, []string{"w,v"}, RuleAdded},
		{"merge into itself", ModeMerge, "v", []string{"v"}, []string{"v"}, RulePresent},
		{"merge keeps the order", ModeMerge, "v", []string{"c, a", "b"}, []string{"c,a,b,v"}, RuleAdded},
		{"merge finds it in the middle", ModeMerge, "v", []string{"a, v ,b"}, []string{"a,v,b"}, RulePresent},
		{"merge finds it in another line", ModeMerge, "v", []string{"a", "v"}, []string{"a,v"}, RulePresent},
		{"merge drops duplicates", ModeMerge, "v", []string{"a,a", "b, a"}, []string{"a,b,v"}, RuleAdded},
		{"merge drops empties", ModeMerge, "v", []string{",a,, ,\t,b,", ","}, []string{"a,b,v"}, RuleAdded},
		{"merge minds the case", ModeMerge, "v", []string{"V"}, []string{"V,v"}, RuleAdded},
		{"merge finds no part of a word", ModeMerge, "v", []string{"v1,1v"}, []string{"v1,1v,v"}, RuleAdded},
		{"merge of several", ModeMerge, "a, v", []string{"b,a"}, []string{"b,a,v"}, RuleAdded},
		{"merge leaves a quoted comma", ModeMerge, "v", []string{`a="x, v", b`}, []string{`a="x, v",b,v`}, RuleAdded},
		{"merge leaves an escaped quote", ModeMerge, "v", []string{`"x\", v", b`}, []string{`"x\", v",b,v`}, RuleAdded},
		{"merge keeps spaces inside", ModeMerge, "v", []string{"a b ; c"}, []string{"a b ; c,v"}, RuleAdded},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{"Other": {"o"}}
			if c.old != nil {
				h["X-A"] = c.old
			}
			result := HeaderRule{Name: "X-A", Value: c.value, Mode: c.mode}.apply(h, ruleSubject{})
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
	subject := ruleSubject{bearer: "sk-ant-oat01-x", path: "/v1/messages", userAgent: "claude-cli/2", listener: "proxy"}
	cases := []struct {
		name string
		when Condition
		want bool
	}{
		{"none", Condition{}, true},
		{"bearer", Condition{BearerPrefix: "sk-ant-oat"}, true},
		{"another bearer", Condition{BearerPrefix: "sk-ant-api"}, false},
		{"path", Condition{PathPrefix: "/v1/"}, true},
		{"another path", Condition{PathPrefix: "/v2/"}, false},
		{"user agent", Condition{UserAgentPrefix: "claude-cli/"}, true},
		{"another user agent", Condition{UserAgentPrefix: "claude-cli/3"}, false},
		{"listener", Condition{Listener: "proxy"}, true},
		{"beginning of a listener", Condition{Listener: "pro"}, false},
		{"all", Condition{"sk-ant-oat", "/v1/", "claude-cli/", "proxy"}, true},
		{"all but one", Condition{"sk-ant-oat", "/v1/", "curl/", "proxy"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{}
			result := HeaderRule{Name: "X-A", Value: "v", When: c.when}.apply(h, subject)
			if (result != RuleSkipped) != c.want || (len(h) > 0) != c.want {
				t.Errorf("%v, %v; want it to hold: %v", result, h, c.want)
			}
		})
	}
}
