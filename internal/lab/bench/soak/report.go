package soak

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Report is what a run saw.
type Report struct {
	Samples       []Sample
	Before, After Sample

	mu     sync.Mutex
	counts map[string]int // of fates and disturbances
	lost   []string
}

func (r *Report) count(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = make(map[string]int)
	}
	r.counts[name]++
}

func (r *Report) lose(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = append(r.lost, what)
}

// Err says what is not as it should be.
func (r *Report) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	if n := len(r.lost); n > 0 {
		errs = append(errs, fmt.Errorf("%d requests got no response, as: %s", n, strings.Join(r.lost[:min(n, 5)], "; ")))
	}
	if !r.After.within(r.Before) {
		errs = append(errs, fmt.Errorf("not what it was: before %v, after %v", r.Before, r.After))
	}
	return errors.Join(errs...)
}

// String is for people.
func (s Sample) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d kB", s.Goroutines, s.Descriptors, s.Memory)
}

// Write prints the report.
func (r *Report) Write(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.counts)) {
		fmt.Fprintf(&text, "%-24s%8d\n", name, r.counts[name])
	}
	fmt.Fprintf(&text, "%-24s%8d\n", "without a response", len(r.lost))
	fmt.Fprintf(&text, "%-24s%v\n%-24s%v\n", "before", r.Before, "after", r.After)
	for _, g := range r.graphs() {
		fmt.Fprintf(&text, "%-24s%8.0f\n", "most "+g.name, slices.Max(append(g.values, 0)))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// graph is one quantity over time.
type graph struct {
	file, name string
	at, values []float64 // seconds, and what was read
}

func (r *Report) graphs() []graph {
	all := []graph{
		{file: "goroutines.png", name: "goroutines"},
		{file: "descriptors.png", name: "descriptors"},
		{file: "memory.png", name: "memory, kB of PSS"},
	}
	for _, s := range r.Samples {
		for i, v := range []int{s.Goroutines, s.Descriptors, s.Memory} {
			all[i].at = append(all[i].at, s.At.Seconds())
			all[i].values = append(all[i].values, float64(v))
		}
	}
	return all
}
