package host_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/host"
)

func TestJournalHasFieldsAndPriorities(t *testing.T) {
	t.Parallel()
	l := install(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+proxyAddr+"/v1/messages?beta=true",
		strings.NewReader(message("claude", true).Body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+daemontest.OAuthToken)
	r.Header.Set("X-Claude-Code-Session-Id", "6f1e9a2c-0000-4000-8000-000000000000")
	response, err := l.client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	var records []host.Record
	daemontest.Eventually(l.t, "the request is in the journal, and is found by its id", func() bool {
		records, err = l.Journal(t.Context(), "REQUEST_ID="+response.Header.Get("X-Request-Id"))
		return err == nil && len(records) == 1
	})
	for field, want := range map[string]string{
		"PRIORITY": "6", "SYSLOG_IDENTIFIER": "oauth-proxyd", "_SYSTEMD_UNIT": service, "_TRANSPORT": "journal",
		"HTTP_METHOD": "POST", "HTTP_PATH": "/v1/messages", "HTTP_STATUS": "200", "SOURCE": "local", "CREDENTIAL": "oauth",
		"SESSION": "6f1e9a2c-0000-4000-8000-000000000000",
	} {
		if got := records[0][field]; got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if r := l.awaitLog("the tailnet is not connected"); r.Priority() != 4 {
		t.Errorf("a tailnet that is down has priority %d", r.Priority())
	}
	l.configure("nonsense\n")
	l.run("systemctl", "reload", service)
	if r := l.awaitLog("configuration refused"); r.Priority() != 3 {
		t.Errorf("a refused configuration has priority %d", r.Priority())
	}
	if strings.Contains(l.must("journalctl", "--output=json", "--all"), daemontest.OAuthToken) {
		t.Error("a credential is in the journal")
	}
}
