// Command tailnet runs a tailnet on this machine to be used by hand: control, a relay, and the
// nodes that are named.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"oauth-proxyd/internal/lab/tailnet"
)

func main() { os.Exit(run()) }

func run() (exitCode int) {
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, `usage: tailnet [node…]

Each node is NAME, NAME=tag:TAG or NAME=USER@DOMAIN; a "+" before it asks for a TUN device
and a host of its own, which needs root. Default: proxy aperture=tag:aperture laptop=alice@example.com
`)
	}
	flag.Parse()
	names := flag.Args()
	if len(names) == 0 {
		names = []string{"proxy", "aperture=tag:aperture", "laptop=alice@example.com"}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	hand := &hand{ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer hand.cleanUp()
		serve(hand, names)
	}()
	<-done
	return hand.exitCode
}

func serve(hand *hand, names []string) {
	lab := tailnet.Start(hand)
	for _, name := range names {
		node := lab.Node(spec(name))
		fmt.Print(node.Manual())
	}
	fmt.Println("\nCtrl-C ends the tailnet.")
	<-hand.ctx.Done()
}

// spec reads an argument.
func spec(text string) tailnet.Spec {
	var s tailnet.Spec
	text, s.TUN = strings.CutPrefix(text, "+")
	name, owner, _ := strings.Cut(text, "=")
	s.Name = name
	if strings.HasPrefix(owner, "tag:") {
		s.Tags = []string{owner}
	} else {
		s.User = owner
	}
	return s
}

// hand is a person where a lab wants a test.
type hand struct {
	ctx      context.Context
	ends     []func()
	exitCode int
}

// Helper is of no use here.
func (*hand) Helper() {}

// Logf prints.
func (*hand) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Fatalf prints and ends the goroutine, as in a test.
func (h *hand) Fatalf(format string, args ...any) {
	h.Logf("error: "+format, args...)
	h.exitCode = 1
	runtime.Goexit()
}

// Cleanup keeps what is to be done at the end.
func (h *hand) Cleanup(end func()) { h.ends = append(h.ends, end) }

// Context ends with Ctrl-C.
func (h *hand) Context() context.Context { return h.ctx }

// Failed is whether something went wrong.
func (h *hand) Failed() bool { return h.exitCode != 0 }

func (h *hand) cleanUp() {
	for _, end := range slices.Backward(h.ends) {
		end()
	}
}
