package bundle_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oauth-proxyd/internal/bundle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTextKeepsOnlyOwnWords(t *testing.T) {
	for text, want := range map[string]string{
		"could not connect to 10.1.2.3:443: connection refused":       "could not connect to address-1:443: connection refused",
		"lookup ann.corp.net on 127.0.0.53:53: no such host":          "lookup text-1 on 127.0.0.53:53: no such host",
		"http://ann:5ecr3t@127.0.0.1:3128 is refused":                 "http://text-1:3128 is refused",
		"https://api.anthropic.com, direct":                           "https://api.anthropic.com, direct",
		"https://hooks.example.com/T0/5ecr3t":                         "https://text-1",
		"run `tailscale login` on this host":                          "run `tailscale login` on this host",
		"Environment=GOGC=200 AWS=AKIA5ECR3T":                         "Environment=GOGC=200 text-1=text-2",
		`allow = ["local", "ann%40example.com", "cap:a.com/x"]`:       `allow = ["local", "text-1", "text-2"]`,
		"/home/ann/x.hcl: no such file or directory":                  "text-1: no such file or directory",
		"POST /v1/messages 200 9960ms 3.2s 82% 2m13s":                 "POST /v1/messages 200 9960ms 3.2s 82% 2m13s",
		"[::1]:80, ::/0, 100.64.0.0/10, 100.64.5.9/32, [fd7a::5]:443": "[::1]:80, ::/0, 100.64.0.0/10, address-1/32, [address-2]:443",
		"2026-09-21T12:00:00+0000 1.104.2-tab12 ANN Ann":              "2026-09-21T12:00:00+0000 1.104.2-… text-1 text-1",
		"4111111111111111 dGhlIHRva2Vu \\u0061nn":                     "text-1 text-2 text-3",
	} {
		if got := bundle.NewFilter().Text(text); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// written returns all text of an archive, the placeholders and the list included.
func written(t *testing.T, a *bundle.Archive) string {
	t.Helper()
	var archive bytes.Buffer
	if err := a.Write(&archive, time.Now()); err != nil {
		t.Fatal(err)
	}
	text, err := gzip.NewReader(&archive)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// A person may be called like a field or like a word of the program.
func TestNamesAreFieldsNotSearchedFor(t *testing.T) {
	a := bundle.New()
	a.Add("a.json", "", []map[string]any{
		{"person": "status", "status": 200, "outcome": "ok", "session": "s", "tags": []string{"tag:status"}},
		{"user": "Status", "error": "status", "address": "127.0.0.1"},
	}, nil)
	want := `[
  {
    "outcome": "ok",
    "person": "name-1",
    "session": "name-2",
    "status": 200,
    "tags": [
      "name-3"
    ]
  },
  {
    "address": "127.0.0.1",
    "error": "status",
    "user": "name-1"
  }
]
`
	if got := written(t, a); !strings.Contains(got, want) {
		t.Error(got)
	}
}

func TestJournalKeepsOwnRecordsAndStacks(t *testing.T) {
	const records = `{"__REALTIME_TIMESTAMP":"1790000000123456","SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"POST /v1/messages 200 9960ms status oauth request_id=r method=POST","REQUEST_ID":"r","HTTP_METHOD":"POST","PERSON":"status","_HOSTNAME":"secret"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"draining in_flight=3 timeout=5000","IN_FLIGHT":"3","PRIORITY":"6"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"{\"msg\":\"serving\",\"node\":\"status\"}"}
{"SYSLOG_IDENTIFIER":"systemd","MESSAGE":"oauth-proxyd.service: Main process exited, code=killed, status=9/KILL"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"panic: runtime error: invalid memory address or nil pointer dereference"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"goroutine 7 [running]:"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"oauth-proxyd/internal/proxy.(*Proxy).ServeHTTP(0xc000, {0xsecret})"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"\t/home/secret/proxy.go:206 +0x1d"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"created by golang.org/x/net/http2.(*Server).Serve.func1 in goroutine 7"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":"secret.Do(...)"}
{"SYSLOG_IDENTIFIER":"curl","MESSAGE":"secret"}
{"SYSLOG_IDENTIFIER":"oauth-proxyd","MESSAGE":[115,101]}
not JSON: secret
`
	a := bundle.New()
	a.AddJournal("journal.txt", "", records, nil)
	const want = `3 records of other programs are left out
{"method":"POST","person":"name-1","request_id":"name-2","time":"2026-09-21T14:13:20.123456Z"}
{"in_flight":"3","message":"draining","priority":"6","time":"1970-01-01T00:00:00Z"}
{"msg":"serving","node":"name-1","time":"1970-01-01T00:00:00Z"}
{"systemd":"oauth-proxyd.service: Main process exited, code=killed, status=9/KILL","time":"1970-01-01T00:00:00Z"}
{"message":"panic: runtime error: invalid memory address or nil pointer dereference","time":"1970-01-01T00:00:00Z"}
{"stack":"goroutine 7","time":"1970-01-01T00:00:00Z"}
{"stack":"oauth-proxyd/internal/proxy.(*Proxy).ServeHTTP","time":"1970-01-01T00:00:00Z"}
{"stack":"proxy.go:206","time":"1970-01-01T00:00:00Z"}
{"stack":"created by golang.org/x/net/http2.(*Server).Serve.func1","time":"1970-01-01T00:00:00Z"}
{"message":"text-3(...)","time":"1970-01-01T00:00:00Z"}
`
	if got := written(t, a); !strings.Contains(got, want) {
		t.Error(got)
	}
}
