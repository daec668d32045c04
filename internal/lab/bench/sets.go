package bench

import (
	"context"
	"fmt"
	"time"
)

// measurement is one of those that all peers do.
type measurement struct {
	name     string
	secure   bool          // TLS to the upstream
	allCores bool          // the proxy may use those of the harness, too
	onlyOurs bool          // the peers have nothing of the kind
	slack    time.Duration // of the proxy's timers; 0: the kernel's default
	streams  int           // how many; 0: as the pace has it
	pace     time.Duration // between two events of a stream; 0: 100 ms
	limit    int           // of the upstream, of streams on a connection; 0: the usual one
	do       func(stage, context.Context) (Values, error)
	// together measures all peers at the same time, in place of do.
	together func(context.Context, []stage) ([]Values, error)
}

// unitSlack is the TimerSlackNSec= of our unit. The peers get the same in the rows that have it.
const unitSlack = 2 * time.Millisecond

// startName is the measurement that only oauth-proxyd does.
const startName = "start and idle"

// The names of the sets.
const (
	Usual  = "usual"
	Growth = "growth" // how the cost grows with the number of streams
	Slack  = "slack"  // what the timer slack does
	// Together has the proxies on the same core at the same time, so that the state of the machine
	// affects them alike.
	Together = "together"
)

// measurements returns those of a set.
func measurements(set string) ([]measurement, error) {
	switch set {
	case "", Usual:
		return usual(), nil
	case Growth:
		return growth(), nil
	case Slack:
		return slack(), nil
	case Together:
		return together(), nil
	}
	return nil, fmt.Errorf("there is no set %q of measurements: there are %s, %s, %s and %s", set, Usual, Growth, Slack, Together)
}

func usual() []measurement {
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
		{name: startName, onlyOurs: true, do: stage.Start},
	}
}

// growth keeps the events of all streams together at 5,000 a second, so that only their number
// differs. Then it varies how many streams the upstream takes on a connection.
func growth() (all []measurement) {
	const each = 200 * time.Microsecond
	for _, n := range []int{10, 100, 1000, 5000} {
		all = append(all, measurement{
			name: fmt.Sprintf("%d streams", n), secure: true, slack: unitSlack,
			streams: n, pace: time.Duration(n) * each, do: stage.Streams,
		})
	}
	for _, limit := range []int{10, 100, 1000} {
		all = append(all, measurement{
			name: fmt.Sprintf("%d streams a connection", limit), secure: true, slack: unitSlack,
			limit: limit, do: stage.Streams,
		})
	}
	return all
}

func slack() (all []measurement) {
	for _, slack := range []time.Duration{50 * time.Microsecond, 500 * time.Microsecond, unitSlack, 10 * time.Millisecond} {
		all = append(all,
			measurement{name: fmt.Sprintf("slack %v, streams", slack), secure: true, slack: slack, do: stage.Streams},
			measurement{name: fmt.Sprintf("slack %v, burst", slack), secure: true, slack: slack, do: stage.Burst})
	}
	return all
}

func together() []measurement {
	return []measurement{
		{name: "streams together, TLS, timer slack", secure: true, slack: unitSlack, streams: 200, together: streamsTogether},
		{name: "requests together, TLS", secure: true, together: requestsTogether},
	}
}
