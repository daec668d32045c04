package main_test

import (
	"syscall"
	"testing"
	"time"
)

func TestRestartsUnderLoadLoseNoRequest(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	load := newLoad(t, s.unit.sockets[0].addr())
	for range 20 {
		load.more(t, 50)
		s.signal(syscall.SIGTERM)
		s.wantExit(0)
		s.run()
		s.notes.next(t, "READY=1")
	}
	load.more(t, 50)
	load.wantNoneLost(t)
}

func TestWhoComesDuringADrainIsServedByTheNextProcess(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("old"))})
	stream := u.openStream(t, newClient(t), s.url())
	s.configure(forwarding(u.URL, "", withoutTailnet, adding("new")))
	s.signal(syscall.SIGTERM)
	s.log.next(t, `"msg":"draining"`)
	late := background(t, newClient(t), "POST", s.url()+"/echo", "late")
	u.open()
	if rest, err := stream.rest(); rest != lastEvent || err != nil {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	s.wantExit(0)
	s.run()
	late().want(t, 200, `beta="new" body="late"`)
}

func TestKillsLoseOnlyWhatIsInFlight(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	load := newLoad(t, s.unit.sockets[0].addr())
	var kills [][2]time.Time
	for range 5 {
		load.more(t, 50)
		before := time.Now()
		s.signal(syscall.SIGKILL)
		s.wantExit(-1)
		kills = append(kills, [2]time.Time{before, time.Now()})
		s.run()
		s.notes.next(t, "READY=1")
	}
	load.more(t, 50)
	load.wantNoneLostBut(t, func(r sent) bool {
		for _, k := range kills {
			if r.begin.Before(k[1]) && r.end.After(k[0]) {
				return true
			}
		}
		return false
	})
}
