package bench

import (
	"cmp"
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
	Set      string   // of measurements; Usual, Growth or Slack
	Only     []string // measurements of the set; all if there is none
	Progress io.Writer
}

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
	all, err := measurements(c.Set)
	if err != nil {
		return nil, err
	}
	result := newResult(c)
	for round := range c.Pace.Rounds {
		for _, m := range all {
			if len(c.Only) > 0 && !slices.Contains(c.Only, m.name) {
				continue
			}
			if err := c.measure(ctx, round, m, dir, result); err != nil {
				return nil, err
			}
		}
	}
	return result, nil
}

// patience bounds one measurement of one peer, which may stall all streams.
const patience = 2 * time.Minute

func (s stage) measure(ctx context.Context) (Values, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.kind.do(s, ctx)
}

// measureTogether returns the values of each stage; after an error they are nil.
func measureTogether(ctx context.Context, stages []stage) ([]Values, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	values, err := stages[0].kind.together(ctx, stages)
	if err != nil {
		return make([]Values, len(stages)), err
	}
	return values, nil
}

// measure does one measurement with each peer, in front of an upstream of its own.
func (c Config) measure(ctx context.Context, round int, m measurement, dir string, result *Result) error {
	upstream, err := rig.StartUpstream(dir, cmp.Or(m.limit, rig.StreamsPerConnection))
	if err != nil {
		return err
	}
	defer upstream.Close()
	if m.pace > 0 {
		upstream.Pace(m.pace)
	}
	pace := c.Pace
	pace.Streams = cmp.Or(m.streams, pace.Streams)
	var stages []stage
	for i := range c.Peers {
		peer := c.Peers[(i+round)%len(c.Peers)]
		if !m.onlyOurs || peer.Name == Ours {
			stages = append(stages, stage{peer: peer, kind: m, upstream: upstream, cores: c.Cores, pace: pace})
		}
	}
	if m.together != nil {
		values, err := measureTogether(ctx, stages)
		for i, s := range stages {
			result.add(m.name, s.peer.Name, "", values[i], err)
		}
		_, _ = fmt.Fprintf(c.Progress, "round %d of %d: %s\n", round+1, pace.Rounds, m.name)
		return ctx.Err()
	}
	for _, s := range stages {
		values, err := s.measure(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		result.add(m.name, s.peer.Name, upstream.Protocol(), values, err)
		_, _ = fmt.Fprintf(c.Progress, "round %d of %d: %s: %s\n", round+1, pace.Rounds, m.name, s.peer.Name)
	}
	return nil
}
