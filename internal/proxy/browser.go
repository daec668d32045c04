package proxy

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"oauth-proxyd/internal/config"
)

// judgeBrowser refuses a cross-origin request that a web page made, unless the page's origin is
// listed. Otherwise any page that somebody opens could send requests with the rights that
// access.allow gives to this host or tailnet. Desktop programs that are made of a browser have
// origins of schemes of their own, and are no web pages.
func judgeBrowser(a config.Access, r *http.Request, ownName func(*http.Request) bool) error {
	origin := r.Header.Get("Origin")
	if origin == "" && r.Header.Get("Sec-Fetch-Site") == "" {
		return nil // no browser, or one that asks for nothing but a page
	}
	err := new(http.CrossOriginProtection).Check(r)
	if err == nil && !isSafe(r.Method) && !ownName(r) {
		err = errForeignName
	}
	if err == nil || isProgram(origin) || slices.Contains(a.Browsers, "*") || slices.Contains(a.Browsers, origin) {
		return nil
	}
	return fail(CodeBrowserRefused, err,
		"a web page of another origin made this request; such are refused unless the setting access.browsers lists their origin")
}

// errForeignName is for a page whose own name was made to lead here (DNS rebinding), so that its
// requests look like those of one origin.
var errForeignName = errors.New("the page's request is for a name that is not this host's")

// isSafe: RFC 9110 §9.2.1.
func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// isProgram reports whether an origin has a scheme that no web page has, such as app:// or
// vscode-webview://. The origin "null" has none: any page can have it by a sandboxed frame.
func isProgram(origin string) bool {
	scheme, _, found := strings.Cut(strings.ToLower(origin), "://")
	return found && scheme != "http" && scheme != "https"
}
