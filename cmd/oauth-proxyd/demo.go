package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/daemon"
	"oauth-proxyd/internal/fakeupstream"
)

const (
	demoEventInterval = 120 * time.Millisecond
	demoTimeout       = 30 * time.Second
	demoToken         = "sk-ant-oat01-demo" // looks like a subscription's token, but opens nothing
	demoVersion       = "2026-10-21"
	demoBeta          = "context-1m-2025-08-07"
	demoBody          = `{"model":"demo","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"hi"}]}`
)

// demoConfig is what an operator would write. Its log level keeps the log out of the story.
const demoConfig = `# the configuration of "oauth-proxyd demo"
tailscale {
  required = false
}
access {
  allow = ["local"]
}
header "anthropic-beta" {
  value = "` + config.OAuthBeta + `"
  mode  = "merge"
}
log {
  level = "warn"
}
`

// demo runs a mock API and the real daemon in front of it, shows what the daemon does to a message,
// and keeps running.
func demo(e env, flags *flag.FlagSet) runner {
	listen := flags.String("listen", "127.0.0.1:0", "listen on `ADDR`; default a free port of 127.0.0.1")
	return func(string) int {
		show := demoShow{e.stdout, &atomic.Pointer[http.Header]{}}
		upstream, stop, err := fakeupstream.Start(fakeupstream.Handler(fakeupstream.Config{
			RequireOAuthBeta: true,
			Observe: func(r *http.Request) {
				header := r.Header.Clone()
				show.received.Store(&header)
			},
			Pause: func(*http.Request) { time.Sleep(demoEventInterval) },
		}))
		if err != nil {
			e.failed(err, "")
			return exitFailure
		}
		defer stop()
		overrides := append(e.environment(),
			config.Override{Attribute: "proxy.upstream_url", Value: upstream, Origin: "demo"},
			config.Override{Attribute: "proxy.listen_addr", Value: *listen, Origin: "--listen"})
		var running sync.WaitGroup
		defer running.Wait()
		return daemon.Run(daemon.Options{
			Load:         func() (*config.Config, error) { return config.Parse("demo.hcl", []byte(demoConfig), overrides...) },
			CheckCommand: "oauth-proxyd check",
			Version:      version,
			Log:          firstLog(overrides),
			Ready: func(address net.Addr) {
				running.Go(func() {
					if err := show.run("http://"+address.String(), upstream); err != nil {
						e.failed(err, "")
					}
				})
			},
		})
	}
}

type demoShow struct {
	out      io.Writer
	received *atomic.Pointer[http.Header] // by the upstream, last
}

// run sends a message directly to the upstream, then the same one through the proxy.
func (s demoShow) run(proxy, upstream string) error {
	ctx, cancel := context.WithTimeout(context.Background(), demoTimeout)
	defer cancel()
	fmt.Fprintf(s.out, "\n1. A client sends a request straight to the API (a mock API on this host), with the\n"+
		"   OAuth token of a subscription, and without the beta that such a token needs:\n\n")
	if err := s.message(ctx, upstream); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n2. It sends the same request through oauth-proxyd, on %s:\n\n", proxy)
	if err := s.message(ctx, proxy); err != nil {
		return err
	}
	fmt.Fprintf(s.out, `
The proxy and the mock API keep running until you press Ctrl-C. In another terminal, try

   curl %[1]s/health
   curl -N %[1]s/v1/messages \
     -H 'authorization: Bearer %[2]s' -H 'anthropic-version: %[4]s' \
     -d '%[3]s'
   ANTHROPIC_BASE_URL=%[1]s ANTHROPIC_AUTH_TOKEN=%[2]s claude

To see the log of each request, run OAUTH_PROXYD_LOG_LEVEL=info oauth-proxyd demo.
`, proxy, demoToken, demoBody, demoVersion)
	return nil
}

func (s demoShow) message(ctx context.Context, base string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/messages", strings.NewReader(demoBody))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header = http.Header{
		"Content-Type": {"application/json"}, "Authorization": {"Bearer " + demoToken},
		"Anthropic-Version": {demoVersion}, "Anthropic-Beta": {demoBeta},
	}
	fmt.Fprintf(s.out, "   client sent     anthropic-beta: %s\n", demoBeta)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("sending a message: %w", err)
	}
	defer response.Body.Close()                        //nolint:errcheck // the response was shown
	if header := s.received.Swap(nil); header != nil { // else the proxy refused it
		fmt.Fprintf(s.out, "   API received    anthropic-beta: %s\n", strings.Join((*header)["Anthropic-Beta"], ", "))
	}
	fmt.Fprintf(s.out, "   API responded   %s\n   as it arrives   ", response.Status)
	return s.text(response.Body)
}

// text prints the text of a stream of events, each piece when it arrives, or the message of an
// error. The mock API sends no character that JSON would escape.
func (s demoShow) text(body io.Reader) error {
	lines, piece := bufio.NewScanner(body), regexp.MustCompile(`"(?:text|message)":"([^"]+)"`)
	for lines.Scan() {
		if found := piece.FindStringSubmatch(lines.Text()); found != nil {
			fmt.Fprint(s.out, found[1])
		}
	}
	fmt.Fprintln(s.out)
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the response: %w", err)
	}
	return nil
}
