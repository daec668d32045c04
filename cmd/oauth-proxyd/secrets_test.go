package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/faketailscaled"
)

// secret returns a value that may be only in requests and responses.
func secret(where string) string { return "5ecr3t-" + where }

// leakyUpstream has secrets in its responses, and cuts some of them.
func leakyUpstream(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		w.Header().Set("Set-Cookie", "session="+secret("set-cookie"))
		w.Header().Set("X-Response", secret("response-header"))
		w.Header().Set("Anthropic-Organization-Id", "org")
		for field, value := range map[string]string{
			"Status": "allowed", "5h-Status": "allowed", "5h-Utilization": "0.5", "Representative-Claim": "sk-ant-" + secret("claim"),
			"Overage-Status": "rejected", "Overage-Disabled-Reason": "sk-ant-" + secret("reason"), "Sk-Ant-" + secret("window") + "-Status": "allowed",
		} {
			w.Header().Set("Anthropic-Ratelimit-Unified-"+field, value)
		}
		switch {
		case strings.HasPrefix(r.URL.Path, "/cut"):
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: message\ndata: %s\n\n", secret("response-event"))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case strings.HasPrefix(r.URL.Path, "/refuse"):
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":%q}`, secret("response-error"))
		case strings.HasPrefix(r.URL.Path, "/break"):
			respondRaw(w, "HTTP/1.1 "+secret("response-garbage")+"\r\n\r\n")
		case strings.HasPrefix(r.URL.Path, "/long"):
			respondRaw(w, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"+secret("longer-than-its-length"))
		default:
			io.WriteString(w, secret("response-body"))
		}
	}))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s
}

// respondRaw writes a response that net/http would not.
func respondRaw(w http.ResponseWriter, text string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	io.WriteString(c, text)
	c.Close()
}

// ways returns paths for requests of every outcome.
func ways() []string {
	return []string{
		"/good", "/refuse", "/cut", "/break", "/long", "/health", "/metrics",
		"/refuse/https:%2f%2fu:" + secret("path-password") + "@a.com/x", "/good/u%253A" + secret("encoded-password") + "%2540a.com",
		"/break/eyJhbGciOi." + secret("jwt") + ".c2ln", "/good/sk%2dant-" + secret("path-token"),
	}
}

func secretHeader() []string {
	return []string{
		"Authorization", "Bearer sk-ant-oat01-" + secret("bearer"), "X-Api-Key", "sk-ant-api03-" + secret("key"),
		"Cookie", "a=" + secret("cookie"), "Proxy-Authorization", "Basic " + secret("proxy"),
		"X-Whatever", secret("header"),
	}
}

func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	u := leakyUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "max_request_body = \"1KiB\"", withoutTailnet, mergeBeta), debug: true})
	shown := daemontest.NewRecord()
	sendSecrets(t, s, shown)
	sendBrokenSecrets(t, s)
	for _, command := range []string{"limits", "status", "requests"} {
		code, out, errs := s.command(command, "--json")
		shown.Add(out + errs)
		if code != 0 || command == "limits" && !strings.Contains(out, `"overage"`) {
			t.Errorf("%s: %d %s%s", command, code, out, errs)
		}
	}
	for _, config := range []string{
		forwarding("http://user:"+secret("url-password")+"@127.0.0.1:1", "", withoutTailnet),
		forwarding(u.URL, "", withoutTailnet, "header \"authorization\" {\n  value = \"Bearer "+secret("rule")+"\"\n}\n"),
		forwarding("http://127.0.0.1:1", "", withoutTailnet), // nobody there: errors
	} {
		s.configure(config)
		_, out, errs := s.command("reload")
		shown.Add(out + errs)
		_, out, errs = s.command("check", "--config", s.file())
		shown.Add(out + errs)
		_, out, errs = s.command("reload", "--dry-run", "--json")
		shown.Add(out + errs)
	}
	sendSecrets(t, s, shown)
	shown.Add(get(t, s.url()+"/health").Body + get(t, s.url()+"/metrics").Body)
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	for where, text := range map[string]string{
		"the log": s.log.Text(), "standard output": s.stdout.Text(), "the notifications": s.notes.Text(), "our own responses": shown.Text(),
	} {
		if i := strings.Index(text, "5ecr3t"); i >= 0 {
			t.Errorf("%s: …%s…", where, text[max(0, i-100):min(len(text), i+100)])
		}
	}
	if n := s.log.Count(`"outcome":`); n < 10 {
		t.Errorf("only %d requests are in the log: this proves little", n)
	}
}

// sendSecrets sends requests of every outcome; shown gets our own responses.
func sendSecrets(t *testing.T, s *service, shown *daemontest.Record) {
	t.Helper()
	client := newClient(t)
	for _, path := range ways() {
		header := append(secretHeader(), "Connection", "x-hop", "X-Hop", secret("hop"))
		for _, text := range []string{secret("body"), strings.Repeat(secret("long-body"), 1000)} {
			a, err := daemontest.Ask(client, "POST", s.url()+path+"?key="+secret("query"), text, header...)
			cut := a.Status == http.StatusOK
			if err != nil && !cut {
				t.Errorf("%s: %v", path, err)
			}
			if !cut && strings.Contains(a.Body, `"error_code":`) {
				shown.Add(a.Body + fmt.Sprint(a.Header))
			}
		}
	}
}

// sendBrokenSecrets sends requests that are not valid HTTP.
func sendBrokenSecrets(t *testing.T, s *service) {
	t.Helper()
	for _, text := range []string{
		"GET /good HTTP/1.1\r\nHost: x\r\nAuthorization " + secret("malformed") + "\r\n\r\n",
		"GET /good HTTP/1.1\r\nHost: x\r\nX-Api-Key: " + secret("control") + "\x00\r\n\r\n",
		secret("method") + " /good\r\n\r\n",
		"GET /good HTTP/1.1\r\nHost: " + secret("host") + "@\r\n\r\n",
		"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + secret("chunk") + "\r\n",
		"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: " + secret("length") + "\r\n\r\n",
		"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + secret("coding") + "\r\n\r\n",
		"GET /good HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nCookie: " + secret("upgrade") + "\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + secret("frame"),
	} {
		c := s.dial(t)
		if _, err := io.WriteString(c.conn, text); err != nil {
			t.Fatal(err)
		}
		_ = c.conn.(interface{ CloseWrite() error }).CloseWrite() // no more comes
		_, _ = io.Copy(io.Discard, c.reader)                      // whatever it says of it
	}
}

func TestLoginURLIsInTheLogOnly(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", onTailnet(runTailscaled(t, "NeedsLogin"), "wait")), debug: true})
	s.log.Next(t, faketailscaled.LoginURL)
	s.wantNoLoginURL(get(t, s.url()+"/health").Body, get(t, s.url()+"/metrics").Body)
	_, out, errs := s.command("reload")
	s.wantNoLoginURL(out, errs, s.stdout.Text())
}

func TestEnvironmentIsNotShown(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{
		config: forwarding(u.URL, "", withoutTailnet), debug: true,
		env: []string{"ANTHROPIC_API_KEY=" + secret("env"), "HTTPS_PROXY=http://u:" + secret("proxy-env") + "@127.0.0.1:1", "HTTP_PROXY=http://127.0.0.1:1"},
	})
	get(t, s.url()+"/echo").Want(t, 200) // and not through that proxy
	s.stop()
	if strings.Contains(s.log.Text(), "5ecr3t") {
		t.Error(s.log.Text())
	}
	if _, err := os.Stat(s.dir + "/admin.sock"); err == nil {
		t.Error("the admin socket is still there")
	}
}
