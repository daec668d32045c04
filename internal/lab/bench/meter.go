package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"oauth-proxyd/internal/lab/bench/rig"
)

// Quantity is something measured, with its unit. Less of it is better, unless its name ends in
// "per_s".
type Quantity string

// The quantities.
const (
	CPUPerRequest Quantity = "cpu_us_per_request"
	RequestsPerS  Quantity = "requests_per_s"
	RequestMedian Quantity = "request_median_us"
	CPUPerEvent   Quantity = "cpu_us_per_event"
	MemoryStream  Quantity = "kb_per_stream"
	MemoryTotal   Quantity = "pss_kb"
	EventP99      Quantity = "event_p99_ms"
	FirstByte     Quantity = "first_byte_median_ms"
	FirstByteLast Quantity = "first_byte_max_ms"
	CPUPerMB      Quantity = "cpu_us_per_mb"
	MBPerS        Quantity = "mb_per_s"
	ReadyTime     Quantity = "start_to_ready_ms"
	IdleRSS       Quantity = "idle_rss_kb"
	IdleWakeups   Quantity = "idle_wakeups_per_min"
	IdleCPU       Quantity = "idle_cpu_ms_per_min"
)

// Values is what one measurement of one peer gave.
type Values map[Quantity]float64

// stage is what a measurement is given: a peer to start, and what to do to it.
type stage struct {
	peer     Peer
	kind     measurement
	upstream *rig.Upstream
	cores    Cores
	pace     Pace
}

// Pace is how much is measured.
type Pace struct {
	Rounds  int
	Warm    time.Duration // before the counters are read
	Window  time.Duration // between the two readings
	Idle    time.Duration // the same for a daemon that does nothing
	Streams int
	Bulk    int64 // bytes of one upload or download
}

// Full takes about twenty minutes with all peers, Short five, and Smoke seconds: it shows that the
// harness works and nothing else.
func Full() Pace {
	return Pace{Rounds: 3, Warm: 500 * time.Millisecond, Window: 2 * time.Second, Idle: 15 * time.Second, Streams: 500, Bulk: 32 << 20}
}

// Short is explained at Full.
func Short() Pace {
	return Pace{Rounds: 1, Warm: 300 * time.Millisecond, Window: 1200 * time.Millisecond, Idle: 5 * time.Second, Streams: 500, Bulk: 32 << 20}
}

// Smoke is explained at Full.
func Smoke() Pace {
	return Pace{Rounds: 1, Warm: 50 * time.Millisecond, Window: 200 * time.Millisecond, Idle: 200 * time.Millisecond, Streams: 20, Bulk: 1 << 20}
}

// place is where the peer runs, and with which timers.
func (s stage) place() rig.Place {
	cores := s.cores.Proxy
	if s.kind.allCores {
		cores = s.cores.All
	}
	return rig.Place{Cores: cores, Slack: s.kind.slack}
}

// running is a peer that runs.
type running struct {
	*rig.Process
	address string
	stop    func()
	dir     string
}

// run starts a fresh process of the peer.
func (s stage) run(ctx context.Context) (*running, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	// A server that changes its user reads and writes there, too.
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // a folder of this run
		return nil, err
	}
	r := &running{dir: dir, stop: func() {}}
	if r.address, err = rig.FreePort(); err == nil {
		var stop func()
		r.Process, stop, err = s.peer.start(ctx, site{
			dir: dir, place: s.place(), address: r.address, upstream: s.upstream, secure: s.kind.secure,
		})
		if err == nil {
			r.stop = stop
			return r, nil
		}
	}
	r.close()
	return nil, err
}

func (r *running) close() {
	r.stop()
	_ = os.RemoveAll(r.dir) // what is left lies in the folder for such things
}

// reading is the counters at one moment.
type reading struct {
	at  time.Time
	cpu time.Duration
}

func (r *running) read() (reading, error) {
	cpu, err := rig.CPU(r.PID)
	return reading{time.Now(), cpu}, err
}

// perUnit is the processor time between two readings, in µs for each of n.
func perUnit(from, to reading, n int64) float64 {
	return float64((to.cpu - from.cpu).Microseconds()) / float64(max(n, 1))
}

// quantile of values that need not be sorted.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1))]
}

func inMilliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// failed says which of the peers an error is about.
func (s stage) failed(doing string, err error) error {
	return fmt.Errorf("%s: %s: %w", s.peer.Name, doing, err)
}
