package main_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestTheNextProcessSaysWhatTheRestartCut(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "1s"`, withoutTailnet)})
	for range 2 {
		stream := u.openStream(t, newClient(t), s.url())
		s.signal(syscall.SIGTERM)
		stream.wantCut(t)
		s.wantExit(75)
		s.log.Next(t, `"streams_cut":1`)
		s.run()
		s.log.Next(t, `"msg":"restarted: 1 stream cut"`)
		s.notes.Next(t, "READY=1")
	}
	// Nobody could scrape the two processes that cut them.
	get(t, s.url()+"/metrics").Want(t, 200, `proxy_responses_cut_total{by="drain"} 2`)

	s.signal(syscall.SIGKILL)
	s.wantExit(-1)
	s.run()
	s.notes.Next(t, "READY=1")
	get(t, s.url()+"/metrics").Want(t, 200, `proxy_responses_cut_total{by="drain"} 0`)
}

func TestTheNextVersionSaysWhatTheUpgradeCut(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ left, logged string }{
		"streams":  {`{"version":"1.2","cut":3,"cut_total":7}`, `"msg":"upgraded: 1.2 → v0.0.0-test, 3 streams cut"`},
		"nothing":  {`{"version":"1.2","cut":0,"cut_total":7}`, `"msg":"upgraded: 1.2 → v0.0.0-test, no stream cut"`},
		"half":     {`{"version":"1.2","cu`, `"msg":"serving"`},
		"no words": {"", `"msg":"serving"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
			left := filepath.Join(s.dir, "farewell.json")
			if err := os.WriteFile(left, []byte(row.left), 0o600); err != nil {
				t.Fatal(err)
			}
			s.run()
			s.log.Next(t, row.logged)
			s.notes.Next(t, "READY=1")
			if _, err := os.Stat(left); !os.IsNotExist(err) {
				t.Errorf("the word is still there: %v", err)
			}
		})
	}
}

func TestAProcessThatNeverServedLeavesTheWordOfTheOneBefore(t *testing.T) {
	t.Parallel()
	s := newService(t, unit{config: "nonsense"})
	left := filepath.Join(s.dir, "farewell.json")
	const word = `{"version":"1.2","cut":3,"cut_total":3}`
	if err := os.WriteFile(left, []byte(word), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run()
	s.wantExit(78)
	if content, err := os.ReadFile(left); err != nil || string(content) != word {
		t.Errorf("the word is %q, %v", content, err)
	}
}

// It has given its word already, to the one that took over.
func TestAProcessThatHasHandedOverLeavesNoWordAtItsEnd(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s, _ := installed(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	stream := u.openStream(t, newClient(t), s.url())
	s.wantUpgrade()
	u.open()
	stream.wantWhole(t)
	s.wantExit(0)
	if _, err := os.Stat(filepath.Join(s.dir, "farewell.json")); !os.IsNotExist(err) {
		t.Errorf("it left word: %v", err)
	}
}

func TestTheCountGoesOnOverAHandOver(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s, _ := installed(t, unit{config: forwarding(u.URL, `drain_timeout = "1s"`, withoutTailnet)})
	stream := u.openStream(t, newClient(t), s.url())
	s.signal(syscall.SIGTERM)
	stream.wantCut(t)
	s.wantExit(75)
	s.run()
	s.notes.Next(t, "READY=1")
	for range 2 {
		s.wantUpgrade()
		get(t, s.url()+"/metrics").Want(t, 200, `proxy_responses_cut_total{by="drain"} 1`)
	}
}
