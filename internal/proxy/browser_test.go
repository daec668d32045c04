package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/config"
)

// pageCase is a request as a program or a browser sends it, and whether it is served.
type pageCase struct {
	name     string
	method   string
	header   []string
	browsers []string
	served   bool
}

func pageCases() []pageCase {
	const cross, page = "Sec-Fetch-Site: cross-site", "Origin: https://evil.example"
	return []pageCase{
		{"a program", "POST", nil, nil, true},
		{"a page elsewhere", "POST", []string{page, cross}, nil, false},
		{"a page elsewhere, of an old browser", "POST", []string{page}, nil, false},
		{"a page of the same site", "POST", []string{"Origin: http://a.h", "Sec-Fetch-Site: same-site"}, nil, false},
		{"a page of another port", "POST", []string{"Origin: http://h:1", "Sec-Fetch-Site: same-site"}, nil, false},
		{"a page that hides its origin", "POST", []string{cross}, nil, false},
		{"a page in a sandboxed frame", "POST", []string{"Origin: null", cross}, nil, false},
		{"a form elsewhere", "POST", []string{page, cross, "Content-Type: text/plain", "Sec-Fetch-Mode: navigate"}, nil, false},
		{"a page elsewhere that deletes", "DELETE", []string{page, cross}, nil, false},
		{"its own page", "POST", []string{"Origin: http://h", "Sec-Fetch-Site: same-origin"}, nil, true},
		{"the user's own doing", "POST", []string{"Sec-Fetch-Site: none"}, nil, true},
		{"a page elsewhere that reads", "GET", []string{page, cross}, nil, true},
		{"a page elsewhere that asks first", "OPTIONS", []string{page, cross, "Access-Control-Request-Method: POST"}, nil, true},
		{"a desktop program", "POST", []string{"Origin: app://obsidian.md", cross}, nil, true},
		{"an editor", "POST", []string{"Origin: vscode-webview://0abc", cross}, nil, true},
		{"tauri", "POST", []string{"Origin: tauri://localhost", cross}, nil, true},
		{"a scheme in capitals", "POST", []string{"Origin: HTTPS://evil.example", cross}, nil, false},
		{"listed", "POST", []string{"Origin: https://chat.example", cross}, []string{"https://a.example", "https://chat.example"}, true},
		{"listed with another port", "POST", []string{"Origin: https://chat.example:8443", cross}, []string{"https://chat.example"}, false},
		{"listed with another scheme", "POST", []string{"Origin: http://chat.example", cross}, []string{"https://chat.example"}, false},
		{"below one that is listed", "POST", []string{"Origin: https://x.chat.example", cross}, []string{"https://chat.example"}, false},
		{"any", "POST", []string{page, cross}, []string{"*"}, true},
		{"any, hidden", "POST", []string{"Origin: null", cross}, []string{"*"}, true},
	}
}

// A page whose name leads here is of the same origin, but not by a name of this host.
func TestPagesByAForeignNameAreRefused(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), func(s *setup) {
		s.OwnName = func(r *http.Request) bool { return r.Host == "h" }
	})
	for host, want := range map[string]int{"h": 200, "evil.example": 403} {
		conn := d.dial(t)
		conn.send(t, "POST / HTTP/1.1\r\nHost: "+host+"\r\nOrigin: http://"+host+"\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 0\r\n\r\n")
		if response, body := conn.response(t, http.MethodPost); response.StatusCode != want {
			t.Errorf("%s: status %d, want %d, %s", host, response.StatusCode, want, body)
		}
	}
}

func TestWebPageOrigins(t *testing.T) {
	reached := make(chan struct{}, 100)
	up := newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) { reached <- struct{}{} })
	for _, c := range pageCases() {
		t.Run(c.name, func(t *testing.T) {
			d := openDoor(t, up, func(s *setup) { s.Access.Browsers = c.browsers })
			conn := d.dial(t)
			conn.send(t, c.method+" /v1/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n"+strings.Join(append(c.header, "", ""), "\r\n"))
			response, body := conn.response(t, c.method)
			if c.served {
				if response.StatusCode != http.StatusOK {
					t.Fatalf("status %d: %s", response.StatusCode, body)
				}
				receive(t, reached, "the request at the upstream")
				return
			}
			ours(t, response, body, http.StatusForbidden, "browser_refused", "http_request_denied")
			if !strings.Contains(body, "access.browsers") || strings.Contains(d.log.String(), "evil.example") {
				t.Errorf("body %s, log %s", body, d.log)
			}
			d.wantKind(t, "browser_refused", "")
			if len(reached) > 0 {
				t.Error("it reached the upstream")
			}
		})
	}
}

// A sender without access learns only that, also with the header of a web page.
func TestAccessIsJudgedBeforeThePage(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), allow(config.Source{Kind: config.Tailnet}))
	conn := d.dial(t)
	conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nOrigin: https://evil.example\r\n\r\n")
	response, body := conn.response(t, "POST")
	ours(t, response, body, http.StatusForbidden, "access_denied", "http_request_denied")
}
