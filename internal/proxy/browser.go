package proxy

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// judgeBrowser refuses a cross-origin request of a web page, unless access.browsers lists the
// page's origin. Otherwise any page that a person opens could use the rights of their host or node.
// Desktop programs built on a browser are not web pages: their origins have other schemes.
func (x *exchange) judgeBrowser() error {
	r, allowed := x.in, x.cfg.Access.Browsers
	origin := r.Header.Get("Origin")
	if origin == "" && r.Header.Get("Sec-Fetch-Site") == "" {
		return nil // not a browser, or plain navigation to a page
	}
	err := new(http.CrossOriginProtection).Check(r)
	if err == nil && !isSafe(r.Method) && x.proxy.OwnName != nil && !x.proxy.OwnName(r) {
		err = errForeignName
	}
	if err == nil || isProgram(origin) || slices.Contains(allowed, "*") || slices.Contains(allowed, origin) {
		return nil
	}
	return fail(CodeBrowserRefused, err,
		"a web page of another origin made this request; to allow that, add its origin to access.browsers")
}

// errForeignName is for a page whose own name was made to resolve to this host (DNS rebinding), so
// that its requests look like same-origin ones.
var errForeignName = errors.New("the page's request is for a name that is not this host's")

// isSafe reports whether a method is safe (RFC 9110 §9.2.1).
func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// isProgram reports whether an origin has a scheme that no web page has, such as app:// or
// vscode-webview://. The origin "null" is not one: any page can have it in a sandboxed frame.
func isProgram(origin string) bool {
	scheme, _, found := strings.Cut(strings.ToLower(origin), "://")
	return found && scheme != "http" && scheme != "https"
}
