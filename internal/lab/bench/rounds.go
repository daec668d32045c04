package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"oauth-proxyd/internal/lab/bench/rig"
)

// Config is a run.
type Config struct {
	Programs Programs
	Peers    []Peer
	Cores    Cores
	Pace     Pace
	Only     []string // measurements; all if there is none
	Progress io.Writer
}

// measurement is one of those that all peers do.
type measurement struct {
	name     string
	secure   bool          // TLS to the upstream
	allCores bool          // the proxy may use those of the harness, too
	slack    time.Duration // of the proxy's timers; 0: the kernel's default
	do       func(stage, context.Context) (Values, error)
}

// unitSlack is the TimerSlackNSec= of our unit. The peers get the same in the rows that have it.
const unitSlack = 2 * time.Millisecond

func measurements() []measurement {
	return []measurement{
		{name: "requests, plain", do: stage.Requests},
		{name: "requests, TLS", secure: true, do: stage.Requests},
		{name: "connections, TLS", secure: true, do: stage.Connections},
		{name: "streams, plain", do: stage.Streams},
		{name: "streams, TLS", secure: true, do: stage.Streams},
		{name: "streams, TLS, timer slack", secure: true, slack: unitSlack, do: stage.Streams},
		{name: "streams, TLS, all cores", secure: true, allCores: true, slack: unitSlack, do: stage.Streams},
		{name: "burst, TLS", secure: true, do: stage.Burst},
		{name: "burst, TLS, timer slack", secure: true, slack: unitSlack, do: stage.Burst},
		{name: "upload, TLS", secure: true, do: stage.Upload},
		{name: "download, TLS", secure: true, do: stage.Download},
		{name: "slow clients, TLS", secure: true, do: stage.SlowClients},
	}
}

// startName is the measurement that only oauth-proxyd does.
const startName = "start and idle"

// Run does all rounds. A peer that fails a measurement is left out of it, and the result says so.
func Run(ctx context.Context, c Config) (*Result, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it lies in the folder for such things
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	upstream, err := rig.StartUpstream(dir)
	if err != nil {
		return nil, err
	}
	defer upstream.Close()
	result := newResult(c)
	for round := range c.Pace.Rounds {
		for _, m := range measurements() {
			if len(c.Only) > 0 && !slices.Contains(c.Only, m.name) {
				continue
			}
			for i := range c.Peers {
				peer := c.Peers[(i+round)%len(c.Peers)]
				s := stage{peer: peer, kind: m, upstream: upstream, cores: c.Cores, pace: c.Pace}
				values, err := m.do(s, ctx)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				result.add(m.name, peer.Name, upstream.Protocol(), values, err)
				_, _ = fmt.Fprintf(c.Progress, "round %d of %d: %s: %s\n", round+1, c.Pace.Rounds, m.name, peer.Name)
			}
		}
		if len(c.Only) > 0 {
			continue
		}
		s := stage{upstream: upstream, cores: c.Cores, pace: c.Pace}
		values, err := s.Start(ctx, c.Programs.Ours)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		result.add(startName, Ours, "", values, err)
	}
	return result, nil
}
