// Command host-images makes the images of all releases that the package is proven on, two at a
// time: two or three minutes on two cores, once.
//
//	host-images          names the releases whose images cannot be made, and goes on
//	host-images -must    likewise, and ends with exit code 1
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"oauth-proxyd/internal/lab/host"
)

// parallel is how many are made at once. Each keeps a processor busy.
const parallel = 2

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) (exitCode int) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var (
		work    sync.WaitGroup
		mu      sync.Mutex
		missing int
	)
	slots := make(chan struct{}, parallel)
	for _, release := range host.Releases() {
		work.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if _, err := host.OpenImage(ctx, release, os.Stderr); err != nil {
				mu.Lock()
				defer mu.Unlock()
				missing++
				fmt.Fprintf(os.Stderr, "!!! NOT TESTED: the package on %s: %v\n", release.Name, err)
			}
		})
	}
	work.Wait()
	if missing > 0 && slices.Contains(args, "-must") {
		return 1
	}
	return 0
}
