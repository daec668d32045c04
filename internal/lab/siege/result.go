package siege

import (
	"fmt"
	"strings"
	"time"
)

// The bounds that are promised (SECURITY.md).
const (
	// refusedGrowth is how much memory a refused source may cost.
	refusedGrowth = 20 << 20
	// admittedMemory is what the process may have, whatever an admitted client does.
	admittedMemory = 512 << 20
	// medianWait and maxWait are how long an admitted client may wait to get in. The promise is 100
	// ms; the maximum is looser, because the attack, the daemon, the upstream and the bystanders
	// share the processors. So does what else the machine does, and for that machineShare times
	// what a request to the upstream takes without the daemon is added to both.
	machineShare = 3

	medianWait = 100 * time.Millisecond
	maxWait    = 2 * time.Second
	// slotGrace is what a slot may be held beyond the timeout that fits.
	slotGrace = 2 * time.Second
	// leakGoroutines and leakTime say when a goroutine has leaked: connections to the upstream that
	// are kept account for some.
	leakGoroutines = 40
	leakTime       = 3 * time.Second
)

// Result is what an attack did.
type Result struct {
	Attack    Attack
	Timeouts  Timeouts
	Took      time.Duration
	Connected int    // connections that the attacker got
	Kept      int    // those that the daemon still had at the end of the attack
	Note      string // of another program

	Before, Max, After Memory
	MemoryErr          error
	Client, Health     Waits
	Control            Waits // of a client that asks the upstream without the daemon

	CountersBefore, CountersAfter Counters // after: with all that the attacker holds
	CountersErr                   error
	SlotsAfter                    time.Duration // until the slots were free, or given up
	GoroutinesAfter               int           // without the attacker

	Lines          int    // of the log, without those about bystanders
	Sample         string // the first of them
	StreamErr      error  // what happened to the bystanders' stream
	UpstreamClosed int    // connections that the upstream closed for their resets
	Died           string // how the daemon ended, if it did

	socketsBefore int
}

// slotLimit is how long slots may be taken after the attack. A request that waited gets its slot
// when another's time is up.
func (r Result) slotLimit() time.Duration {
	limit := max(r.Timeouts.Header, r.Timeouts.Idle) + slotGrace + r.Attack.Lag
	if r.Attack.Fills {
		limit += r.Timeouts.Queue
	}
	return limit
}

// leaks reports whether goroutines are left.
func (r Result) leaks() bool {
	return r.GoroutinesAfter > r.CountersBefore.Goroutines+leakGoroutines
}

// Faults are the promises that were broken.
func (r Result) Faults() []string {
	if r.Died != "" {
		return []string{"the daemon ended: " + r.Died}
	}
	var f faults
	f.memory(r)
	f.waits(r)
	f.slots(r)
	f.log(r)
	if r.StreamErr != nil {
		f.add("another client's stream was %v", r.StreamErr)
	}
	if r.Connected == 0 && r.Note == "" {
		f.add("the attacker got no connection")
	}
	return f
}

type faults []string

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

func (f *faults) memory(r Result) {
	if r.MemoryErr != nil {
		f.add("memory: %v", r.MemoryErr)
		return
	}
	grown := max(r.Max.RSS-r.Before.RSS, r.Max.Cgroup-r.Before.Cgroup)
	if r.Attack.Who == Refused && grown > refusedGrowth {
		f.add("%s MiB more memory, want %s at most", mebibytes(grown), mebibytes(refusedGrowth))
	}
	if most := max(r.Max.RSS, r.Max.Cgroup); r.Attack.Who == Admitted && most > admittedMemory {
		f.add("%s MiB of memory, want %s at most", mebibytes(most), mebibytes(admittedMemory))
	}
}

func (f *faults) waits(r Result) {
	median := medianWait + machineShare*r.Control.Median()
	most := maxWait + machineShare*r.Control.Max()
	f.wait("/health", r.Health, median, most)
	if r.Attack.Fills { // only this long: the slots of the attacker time out
		median, most = r.slotLimit(), r.slotLimit()
	}
	f.wait("a client", r.Client, median, most)
}

func (f *faults) wait(who string, w Waits, median, most time.Duration) {
	if w.Count() == 0 {
		f.add("%s was never tried", who)
		return
	}
	if w.Failed > 0 {
		f.add("%s failed %d of %d times: %s", who, w.Failed, w.Count(), w.Reason)
	}
	if w.Median() > median {
		f.add("%s waited %v (median), want %v at most", who, w.Median().Round(time.Millisecond), median.Round(time.Millisecond))
	}
	if w.Max() > most {
		f.add("%s waited %v, want %v at most", who, w.Max().Round(time.Millisecond), most.Round(time.Millisecond))
	}
}

func (f *faults) slots(r Result) {
	if r.CountersErr != nil {
		f.add("/metrics after the attack: %v", r.CountersErr)
		return
	}
	if n := r.CountersAfter.InFlight - r.CountersBefore.InFlight; n > 0 {
		f.add("%d slots were still taken %v after the attack", n, r.SlotsAfter.Round(time.Millisecond))
	}
	if r.leaks() {
		f.add("%d goroutines after the attacker left, %d before", r.GoroutinesAfter, r.CountersBefore.Goroutines)
	}
}

// log holds what a refused source may make the daemon log: a line a minute. An admitted request has
// a line by right.
func (f *faults) log(r Result) {
	most := r.Attack.sources() * (1 + int(r.Took/time.Minute))
	if r.Attack.Who == Refused && r.Lines > most {
		f.add("%d lines of log, want %d at most; the first: %s", r.Lines, most, firstOf(r.Sample))
	}
}

func firstOf(sample string) string {
	line, _, _ := strings.Cut(sample, "\n")
	return line
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }
