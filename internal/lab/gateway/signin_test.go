package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// signIn obtains a session of the gateway as Claude Code does: it asks for a code, the person
// enters that in a browser and comes back from the identity provider, and the gateway exchanges the
// code for a bearer token (RFC 8628).
func signIn(t *testing.T, gateway string) client {
	t.Helper()
	c := client{base: gateway, http: newHTTPClient(t)}
	var device struct {
		Code     string `json:"device_code"`
		UserCode string `json:"user_code"`
		Page     string `json:"verification_uri"`
	}
	c.post(t, "/oauth/device_authorization", url.Values{"surface": {"claude_code"}}, &device)
	approve(t, c.http.Transport, device.Page, device.UserCode)
	var session struct {
		Token string `json:"access_token"`
	}
	c.post(t, "/oauth/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {device.Code},
	}, &session)
	if session.Token == "" {
		t.Fatal("the gateway issued no session")
	}
	c.token = session.Token
	return c
}

// post sends a form to an OAuth endpoint and decodes the response.
func (c client) post(t *testing.T, path string, form url.Values, response any) {
	t.Helper()
	resp, err := c.http.PostForm(c.base+path, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v\n%s", path, resp.Status, err, body)
	}
	if err := json.Unmarshal(body, response); err != nil {
		t.Fatal(err)
	}
}

// approve is the person's part, in a browser that keeps cookies and says which page a form is from.
func approve(t *testing.T, transport http.RoundTripper, page, userCode string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"user_code": {userCode}}.Encode()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, page, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	browser := &http.Client{Transport: transport, Jar: jar}
	resp, err := browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "signed in") {
		t.Fatalf("the sign-in ended at %s: %s %v", resp.Request.URL.Path, resp.Status, err)
	}
}
