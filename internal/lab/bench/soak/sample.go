package soak

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"oauth-proxyd/internal/lab/bench/rig"
)

// Sample is the daemon at one moment.
type Sample struct {
	At          time.Duration `json:"at"`
	Goroutines  int           `json:"goroutines"`
	Descriptors int           `json:"descriptors"`
	Memory      int           `json:"pss_kb"`
	InFlight    int           `json:"in_flight"`
	err         error
}

// within reports whether a daemon is about what it was. A connection to the upstream more or less
// is some goroutines and a descriptor; memory that the runtime has not given back yet is no leak.
func (s Sample) within(before Sample) bool {
	const someGoroutines, someDescriptors, someMemory = 10, 5, 16 << 10
	return s.Goroutines <= before.Goroutines+someGoroutines &&
		s.Descriptors <= before.Descriptors+someDescriptors &&
		s.Memory <= before.Memory+someMemory
}

// note takes a sample into the report. One that fails, as in the moment of a hand-over, is left
// out.
func (s *soak) note() Sample {
	sample := s.sample()
	if sample.err == nil {
		s.report.Samples = append(s.report.Samples, sample)
	}
	return sample
}

func (s *soak) sample() Sample {
	pid := int(s.pid.Load())
	sample := Sample{At: time.Since(s.start)}
	metrics, err := s.metrics()
	if err != nil {
		sample.err = err
		return sample
	}
	memory, memoryErr := rig.OwnPSS(pid)
	descriptors, descriptorsErr := rig.Descriptors(pid)
	goroutines, goroutinesErr := metric(metrics, "go_goroutines")
	inFlight, inFlightErr := metric(metrics, "proxy_requests_in_flight")
	sample.Goroutines, sample.Descriptors, sample.Memory, sample.InFlight = goroutines, descriptors, int(memory), inFlight
	sample.err = errors.Join(memoryErr, descriptorsErr, goroutinesErr, inFlightErr)
	return sample
}

// metrics come over a connection of their own, which a hand-over does not share.
func (s *soak) metrics() ([]byte, error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + s.daemon.Address + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it is only read
	return io.ReadAll(response.Body)
}

// metric is the value of one without labels.
func metric(text []byte, name string) (int, error) {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			n, err := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
			return int(n), err
		}
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}
