package tailnet

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"tailscale.com/ipn"
)

func TestMatters(t *testing.T) {
	tests := []struct {
		line string
		want bool
	}{
		{`{"Version":"1","PeerChangedPatch":[{"NodeID":1}]}`, false},
		{`{"Engine":{}}`, false},
		{`{"PeersRemoved":[1]}`, false},
		{`{"FilesWaiting":{}}`, false},
		{`{"SessionID":"f00"}`, true},
		{`{"State":0}`, true},
		{`{"Prefs":{"WantRunning":true}}`, true},
		{`{"Health":{}}`, true},
		{`{"SelfChange":{}}`, true},
		{`{"Version":"1.102.5","NetMap":{}}`, true}, // of which the library knows nothing
		{`{"BrowseToURL":"https://login.example/a/1"}`, true},
		{`{"LoginFinished":{}}`, true},
		{`{"ErrMessage":""}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			var n ipn.Notify
			if err := json.Unmarshal([]byte(tt.line), &n); err != nil {
				t.Fatal(err)
			}
			if got := matters(&n); got != tt.want {
				t.Errorf("matters = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLimitedBody(t *testing.T) {
	tests := []struct {
		name, body string
		byLine, ok bool
	}{
		{"fits", "1234567890", false, true},
		{"too long", "12345678901", false, false},
		{"too long in all", "12345\n678901", false, false},
		{"each line fits", "123456789\n123456789\n1234567890", true, true},
		{"last line too long", "123456789\n12345678901", true, false},
	}
	for _, tt := range tests {
		for _, chunk := range []int{1, 3, 100} {
			body := &limitedBody{ReadCloser: io.NopCloser(strings.NewReader(tt.body)), max: 10, byLine: tt.byLine}
			_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{body}, make([]byte, chunk))
			if (err == nil) != tt.ok {
				t.Errorf("%s, read %d at a time: %v, want success: %v", tt.name, chunk, err, tt.ok)
			}
		}
	}
}
