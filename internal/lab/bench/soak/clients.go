package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"oauth-proxyd/internal/lab/bench/rig"
)

// fate is what becomes of a stream.
type fate struct {
	name string
	path string
	// live is the client's part, when the response has begun. An error is fine, and expected of some:
	// the stream may be cut by an upgrade or a timeout.
	live func(*rig.Stream)
}

// fates takes how long the daemon bears a client that does not read.
func fates(idle time.Duration) []fate {
	return []fate{
		{"whole", "/v1/stream?events=20", readAll},
		{"cut by the upstream", "/v1/stream?events=10&fate=" + rig.FateDie, readAll},
		{"upstream silent", "/v1/stream?events=5&fate=" + rig.FateSilent, readAll},
		{"abandoned", "/v1/stream", func(s *rig.Stream) { readSome(s, rand.IntN(30)) }},
		{"stalled", "/v1/stream?fate=" + rig.FateFlood, func(s *rig.Stream) {
			readSome(s, 1)
			time.Sleep(time.Duration(rand.Int64N(int64(2 * idle)))) // some longer than the daemon bears
		}},
	}
}

func readAll(s *rig.Stream) {
	for {
		if _, err := s.Next(); err != nil {
			return
		}
	}
}

func readSome(s *rig.Stream, events int) {
	for range events {
		if _, err := s.Next(); err != nil {
			return
		}
	}
}

// startClients gives a function that waits for the last of them, which is soon after ctx.
func (s *soak) startClients(ctx context.Context) (wait func()) {
	var clients sync.WaitGroup
	for range s.Clients {
		clients.Go(func() {
			for ctx.Err() == nil {
				s.stream(ctx)
			}
		})
	}
	return clients.Wait
}

func (s *soak) fate() fate {
	all := fates(s.Idle)
	return all[rand.IntN(len(all))]
}

// stream lives through one.
func (s *soak) stream(ctx context.Context) {
	fate := s.fate()
	stream, err := rig.OpenStream(context.WithoutCancel(ctx), s.daemon.Address, fate.path)
	if err != nil {
		s.report.lose(fmt.Sprintf("%v: %s: %v", time.Since(s.start).Round(time.Second), fate.name, err))
		return
	}
	defer context.AfterFunc(ctx, stream.Close)()
	fate.live(stream)
	stream.Close()
	s.report.count(fate.name)
}
