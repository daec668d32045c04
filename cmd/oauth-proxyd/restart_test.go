package main_test

import (
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

func TestRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	load := newLoad(t, s.unit.sockets[0].Addr())
	for range 20 {
		load.More(50)
		s.signal(syscall.SIGTERM)
		s.wantExit(0)
		s.run()
		s.notes.Next(t, "READY=1")
	}
	load.More(50)
	load.WantNoneLost()
}

func TestNextProcessServesArrivalsOfDrain(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("old"))})
	stream := u.openStream(t, newClient(t), s.url())
	s.configure(forwarding(u.URL, "", withoutTailnet, adding("new")))
	s.signal(syscall.SIGTERM)
	s.log.Next(t, `"msg":"draining"`)
	late := background(t, newClient(t), "POST", s.url()+"/echo", "late")
	u.open()
	stream.wantWhole(t)
	s.wantExit(0)
	s.run()
	late().Want(t, 200, `beta="new" body="late"`)
}

func TestKillsUnderLoad(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	load := newLoad(t, s.unit.sockets[0].Addr())
	var kills []daemontest.Span
	for range 5 {
		load.More(50)
		begin := time.Now()
		s.signal(syscall.SIGKILL)
		s.wantExit(-1)
		kills = append(kills, daemontest.Span{Begin: begin, End: time.Now()})
		s.run()
		s.notes.Next(t, "READY=1")
	}
	load.More(50)
	load.WantNoneLost(kills...)
}
