package policy

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// permission lets the package in one folder import something that is not of
// the standard library. An import path that ends in "/..." stands for all
// below it, too.
type permission struct {
	dir, imports string
	testsOnly    bool
	why          string
}

// packages are the folders that may hold a package.
func packages() []string {
	return []string{
		"cmd/oauth-proxyd",
		"internal/config",
		"internal/daemon",
		"internal/daemontest",
		"internal/doctor",
		"internal/faketailscaled",
		"internal/fakeupstream",
		"internal/handover",
		"internal/lifecycle",
		"internal/logging",
		"internal/policy",
		"internal/proxy",
		"internal/selftest",
		"internal/systemd",
		"internal/tailnet",
		"internal/upstream",
		"packaging",
	}
}

// permissions is the whole import policy: cmd → daemon, selftest, doctor and leaves;
// these three → leaves, and doctor → daemon, which it asks; and a leaf imports none of
// ours.
func permissions() []permission {
	return slices.Concat(commandPermissions(), daemonPermissions(), selftestPermissions(), doctorPermissions(), leafPermissions(), testPermissions())
}

func commandPermissions() []permission {
	const dir = "cmd/oauth-proxyd"
	return []permission{
		{dir, moduleName + "/internal/daemon", false, "serve, demo, reload and status run it or ask it"},
		{dir, moduleName + "/internal/config", false, "check prints its diagnostics; flags and environment go into it"},
		{dir, moduleName + "/internal/fakeupstream", false, "demo needs an upstream on loopback"},
		{dir, moduleName + "/internal/logging", false, "the log is made before the daemon"},
		{dir, moduleName + "/internal/selftest", false, "selftest is a command"},
		{dir, moduleName + "/internal/doctor", false, "doctor is a command"},
		{dir, moduleName + "/internal/proxy", false, "requests and explain print its traces"},
		{dir, moduleName + "/internal/daemontest", true, "its tests run the binary, as the labs do"},
		{dir, moduleName + "/internal/faketailscaled", true, "its tests need a tailscaled in every state"},
	}
}

func daemonPermissions() []permission {
	const dir = "internal/daemon"
	return []permission{
		{dir, moduleName + "/internal/config", false, "it applies the settings"},
		{dir, moduleName + "/internal/handover", false, "it starts the process that takes over"},
		{dir, moduleName + "/internal/lifecycle", false, "it runs the state machine"},
		{dir, moduleName + "/internal/logging", false, "it changes the level on reload"},
		{dir, moduleName + "/internal/proxy", false, "it opens, drains and closes the request path"},
		{dir, moduleName + "/internal/systemd", false, "only its loop notifies"},
		{dir, moduleName + "/internal/tailnet", false, "its facts become events"},
		{dir, moduleName + "/internal/upstream", false, "it says the configuration in that package's words"},
		{dir, "github.com/prometheus/client_golang/prometheus/...", false, "it makes the registry that the others count in"},
		{dir, "github.com/prometheus/common/expfmt", false, "it writes /metrics without promhttp, which costs half a megabyte"},
	}
}

// selftestPermissions are those of a second root: it runs the real proxy against
// the fake upstream, and is used by cmd only.
func selftestPermissions() []permission {
	const dir = "internal/selftest"
	return []permission{
		{dir, moduleName + "/internal/config", false, "the rules and limits under test are a configuration's"},
		{dir, moduleName + "/internal/fakeupstream", false, "it stands in for the API"},
		{dir, moduleName + "/internal/proxy", false, "it is the real one that is tested"},
		{dir, moduleName + "/internal/upstream", false, "the proxy is sent to a fake upstream"},
		{dir, moduleName + "/internal/daemon", true, "its tests have the settings from where cmd has them"},
		{dir, "github.com/prometheus/client_golang/prometheus", false, "the proxy wants a registry to count in"},
	}
}

// doctorPermissions are those of a third root: it asks the daemon, tailscaled and the
// upstream, and is used by cmd only.
func doctorPermissions() []permission {
	const dir = "internal/doctor"
	return []permission{
		{dir, moduleName + "/internal/config", false, "what the configuration wants is held against what is"},
		{dir, moduleName + "/internal/daemon", false, "it asks the running one, and has the access rules from where cmd has them"},
		{dir, moduleName + "/internal/proxy", false, "whether a peer is admitted is the proxy's to say"},
		{dir, moduleName + "/internal/systemd", false, "what systemd says of the units, and whom their sockets keep out"},
		{dir, moduleName + "/internal/tailnet", false, "what tailscaled knows of this node and its peers"},
		{dir, moduleName + "/internal/upstream", false, "it goes the daemon's way to the upstream"},
	}
}

// leafPermissions has the only importers of the large libraries.
func leafPermissions() []permission {
	return []permission{
		{"internal/config", "github.com/hashicorp/hcl/v2/...", false, "the language of the configuration, kept behind it"},
		{"internal/config", "github.com/zclconf/go-cty/cty/...", false, "the values of that language"},
		{"internal/logging", "github.com/lmittmann/tint", false, "colors on a terminal"},
		{"internal/logging", "github.com/mattn/go-isatty", false, "whether it is a terminal"},
		{"internal/proxy", "github.com/prometheus/client_golang/prometheus/...", false, "a metric belongs to the package that counts it"},
		{"internal/proxy", "golang.org/x/sys/unix", false, "what a socket still holds for its peer"},
		{"internal/proxy", moduleName + "/internal/upstream", false, "it sends requests on the connections handed out there"},
		{"internal/proxy", "golang.org/x/time/rate", false, "how fast a person may cancel requests"},
		{"internal/proxy", "golang.org/x/net/http2/...", true, "its tests speak HTTP/2 frame by frame"},
		{"internal/systemd", "github.com/coreos/go-systemd/v22/...", false, "socket passing and notification"},
		{"internal/upstream", "golang.org/x/sys/unix", false, "what a socket holds, and when it is given up"},
		{"internal/upstream", "golang.org/x/time/rate", false, "how fast the requests on a connection may be cancelled"},
		{"internal/upstream", "golang.org/x/net/http2/...", true, "its tests speak HTTP/2 frame by frame"},
		{"internal/upstream", "golang.org/x/net/dns/dnsmessage", true, "its tests are name servers"},
		{"internal/tailnet", "tailscale.com/...", false, "the client of tailscaled's socket, kept behind it"},
		{"internal/tailnet", "golang.org/x/sys/unix", false, "the clock that goes on while the machine sleeps"},
	}
}

// testPermissions are for the tests of every package: "*".
func testPermissions() []permission {
	return []permission{
		{"*", "go.uber.org/goleak", true, "no test leaves a goroutine behind"},
		{"internal/daemontest", "go.uber.org/goleak", false, "likewise, of those that it runs"},
		{"*", "github.com/rogpeppe/go-internal/testscript", true, "commands are tested as scripts that read as prose"},
	}
}

// checkImports is the rule: every package is known, and what it imports is
// permitted.
func checkImports(s source) []string {
	var findings []string
	if !slices.Contains(packages(), s.dir()) {
		findings = append(findings, s.at(s.file.Package, "package %s is not in the list of packages of imports_test.go", s.dir()))
	}
	for _, spec := range s.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return append(findings, s.at(spec.Pos(), "import path: %v", err))
		}
		if !isStandard(imported) && !s.permits(imported) {
			findings = append(findings, s.at(spec.Pos(), "%s must not import %s; a permission with its reason goes into imports_test.go", s.dir(), imported))
		}
	}
	return findings
}

// permits looks an import up. An external test may import its own package.
func (s source) permits(imported string) bool {
	if s.isTest() && imported == moduleName+"/"+s.dir() {
		return true
	}
	return slices.ContainsFunc(permissions(), func(p permission) bool { return p.covers(s, imported) })
}

// covers reports whether the permission is one for the file to import this.
func (p permission) covers(s source, imported string) bool {
	if p.dir != s.dir() && p.dir != "*" || p.testsOnly && !s.isTest() {
		return false
	}
	below, tree := strings.CutSuffix(p.imports, "/...")
	return imported == below || tree && strings.HasPrefix(imported, below+"/")
}

// checkUse finds permissions that nobody uses any more, and those that only tests
// use and that do not say so: what is drawn from the table is what is.
func checkUse(table []permission, all []source) []string {
	var findings []string
	for _, p := range table {
		if !slices.ContainsFunc(all, p.isUsedBy) {
			findings = append(findings, fmt.Sprintf("%s imports %s: nothing does", p.dir, p.imports))
		}
	}
	return findings
}

// isUsedBy reports whether the file needs the permission.
func (p permission) isUsedBy(s source) bool {
	return s.isTest() == p.testsOnly && slices.ContainsFunc(s.file.Imports, func(spec *ast.ImportSpec) bool {
		imported, err := strconv.Unquote(spec.Path.Value)
		return err == nil && p.covers(s, imported)
	})
}

// isStandard follows the go command: only other paths begin with a host name.
// Ours does not have one.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") && first != moduleName
}

// checkTable finds permissions that say nothing: without a reason, twice, or
// for a package that is not listed.
func checkTable(table []permission, listed []string) []string {
	var findings []string
	seen := make(map[string]bool)
	for _, p := range table {
		key := p.dir + " imports " + p.imports
		if p.why == "" {
			findings = append(findings, key+": no reason")
		}
		if seen[key] {
			findings = append(findings, key+": twice")
		}
		if p.dir != "*" && !slices.Contains(listed, p.dir) {
			findings = append(findings, fmt.Sprintf("%s: %s is not in the list of packages", key, p.dir))
		}
		seen[key] = true
	}
	return findings
}
