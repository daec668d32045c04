package tailnet_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oauth-proxyd/internal/tailnet"
)

func TestFollowAsksAtOnceAfterASleep(t *testing.T) {
	d := startDaemon(t)
	c := tailnet.New(quiet(d.socket)) // it would trust what it knows for an hour
	var slept atomic.Int64
	c.SetSuspended(func() time.Duration { return time.Duration(slept.Load()) })
	reports := make(chan tailnet.Report, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { c.Follow(ctx, func(r tailnet.Report) { reports <- r }) })
	defer func() { cancel(); following.Wait() }()
	next(t, reports)
	watched(t, d)
	read(t, d)
	d.answerStatus(statusJSON("NeedsLogin", "")) // and the bus says nothing
	slept.Store(int64(8 * time.Hour))
	if r := next(t, reports); r.Status.Backend != "NeedsLogin" {
		t.Errorf("report = %+v, want what happened during the sleep", r)
	}
}

func TestTheClocksSayHowLongTheMachineSlept(t *testing.T) {
	if slept := tailnet.Suspended(); slept < 0 {
		t.Errorf("slept for %v", slept)
	}
}
