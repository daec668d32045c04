package proxy_test

import (
	"net/http"
	"strings"
	"testing"
)

// sawTarget is an upstream that tells which target it saw.
func sawTarget(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Target", r.RequestURI)
	w.Header().Set("X-Host", r.Host)
}

func TestTargetByteForByte(t *testing.T) {
	cases := []struct{ name, method, sent, want string }{
		{"plain", "GET", "/v1/messages", "/v1/messages"},
		{"root", "GET", "/", "/"},
		{"query", "GET", "/v1/messages?beta=true", "/v1/messages?beta=true"},
		{"empty query", "GET", "/a?", "/a?"},
		{"question marks", "GET", "/a??b?c", "/a??b?c"},
		{"semicolon in the query", "GET", "/a?x=1;y=2", "/a?x=1;y=2"},
		{"semicolon in the path", "GET", "/a;v=1/b;c", "/a;v=1/b;c"},
		{"escaped space", "GET", "/a%20b?c%20d", "/a%20b?c%20d"},
		{"plus", "GET", "/a+b?c+d", "/a+b?c+d"},
		{"escaped slash in both cases", "GET", "/a%2Fb%2fc", "/a%2Fb%2fc"},
		{"needless escape", "GET", "/%61%7E~", "/%61%7E~"},
		{"double slash inside", "GET", "/a//b/", "/a//b/"},
		{"double slash at the start", "GET", "//a/b", "//a/b"},
		{"many slashes at the start", "GET", "////", "////"},
		{"double slash with an escape", "GET", "//a%2Fb?c", "//a%2Fb?c"},
		{"dots", "GET", "/a/../b/./c/..", "/a/../b/./c/.."},
		{"braces", "GET", "/{a}?{b}", "/{a}?{b}"},
		{"bar", "GET", "/a|b?c|d", "/a|b?c|d"},
		{"brackets and quotes", "GET", `/[a]'"<b>?[c]=^` + "`", `/[a]'"<b>?[c]=^` + "`"},
		{"backslash", "GET", `/a\b`, `/a\b`},
		{"bytes above 127", "GET", "/\xc3\xa9?\xff", "/\xc3\xa9?\xff"},
		{"bad escape in the query", "GET", "/a?%zz&%", "/a?%zz&%"},
		{"a URL in the path", "GET", "/http://other/x", "/http://other/x"},
		{"a URL in the query", "GET", "/a?u=http://other/?x", "/a?u=http://other/?x"},
		{"colon first", "GET", "/:a:b", "/:a:b"},
		{"asterisk", "OPTIONS", "*", "*"},
		{"absolute form", "GET", "http://other.example/a//b%2F?c;d", "/a//b%2F?c;d"},
		{"absolute form without a path", "GET", "http://other.example", "/"},
		{"absolute form with a query only", "GET", "http://other.example?a", "/?a"},
		{"absolute form with a port", "GET", "http://other.example:81/a", "/a"},
		{"absolute form with https", "GET", "https://other.example/a", "/a"},
		{"absolute form with a user", "GET", "http://user:word@other.example/a", "/a"},
		{"absolute form with two slashes", "GET", "http://other.example//a", "//a"},
		{"absolute form for the server", "OPTIONS", "http://other.example", "*"},
	}
	forEachProtocol(t, sawTarget, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				conn := d.dial(t)
				conn.send(t, c.method+" "+c.sent+" HTTP/1.1\r\nHost: other.example\r\n\r\n")
				response, body := conn.response(t, c.method)
				if got := response.Header.Get("X-Target"); got != c.want {
					t.Errorf("the upstream saw %q, want %q; status %d %s", got, c.want, response.StatusCode, body)
				}
				if got := response.Header.Get("X-Host"); got != up.url.Host {
					t.Errorf("the upstream saw host %q, want its own, %q", got, up.url.Host)
				}
			})
		}
	})
}

func TestTargetWithoutPathIsRefused(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", sawTarget))
	cases := []struct{ name, method, target string }{
		{"opaque", "GET", "mailto:a"},
		{"scheme without authority", "GET", "http:a"},
		{"asterisk without OPTIONS", "GET", "*"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn := d.dial(t)
			conn.send(t, c.method+" "+c.target+" HTTP/1.1\r\nHost: other.example\r\n\r\n")
			response, body := conn.response(t, "GET")
			if response.StatusCode != 400 || !strings.Contains(body, `"error_code":"invalid_request"`) {
				t.Errorf("status %d, body %s", response.StatusCode, body)
			}
		})
	}
}
