package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"oauth-proxyd/internal/fakeupstream"
)

const (
	demoEventInterval = 120 * time.Millisecond
	demoTimeout       = 30 * time.Second
	demoToken         = "sk-ant-oat01-demo" // of the form of a subscription's token; it opens nothing
	demoVersion       = "2026-10-21"
	demoBeta          = "fine-grained-tool-streaming-2025-05-14"
	demoBody          = `{"model":"demo","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"hi"}]}`
)

// demoShow is the client of the demo and what it shows.
type demoShow struct {
	mu       sync.Mutex
	received *fakeupstream.Request // the latest message that the upstream got
}

func (s *demoShow) observe(r fakeupstream.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = &r
}

func (s *demoShow) latest() *fakeupstream.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received
}

// run sends a message straight to the upstream, then one through the proxy.
func (s *demoShow) run(e env, proxy, upstream string) {
	ctx, cancel := context.WithTimeout(context.Background(), demoTimeout)
	defer cancel()
	fmt.Fprintf(e.stdout, "\na client with a subscription's OAuth token asks the (fake) Anthropic API directly:\n")
	if err := s.message(ctx, e, upstream); err != nil {
		e.failed(err, "")
		return
	}
	fmt.Fprintf(e.stdout, "\nthe same request through oauth-proxyd on %s:\n", proxy)
	if err := s.message(ctx, e, proxy); err != nil {
		e.failed(err, "")
		return
	}
	fmt.Fprintf(e.stdout, `
it serves on; try in another terminal:
  curl -N %[1]s/v1/messages -H 'authorization: Bearer %[2]s' -H 'anthropic-version: %[4]s' -d '%[3]s'
  curl %[1]s/health
  ANTHROPIC_BASE_URL=%[1]s ANTHROPIC_AUTH_TOKEN=%[2]s claude
Ctrl-C drains and ends it

`, proxy, demoToken, demoBody, demoVersion)
}

// message sends one and shows what each side saw.
func (s *demoShow) message(ctx context.Context, e env, base string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/messages", strings.NewReader(demoBody))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+demoToken)
	request.Header.Set("Anthropic-Version", demoVersion)
	request.Header.Set("Anthropic-Beta", demoBeta)
	fmt.Fprintf(e.stdout, "  client sent         anthropic-beta: %s\n", demoBeta)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("sending a message: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // the demo has seen what it came for
	if r := s.latest(); r != nil {
		fmt.Fprintf(e.stdout, "  upstream received   anthropic-beta: %s\n", strings.Join(r.Header["Anthropic-Beta"], ", "))
	}
	fmt.Fprintf(e.stdout, "  upstream answered   %s\n", response.Status)
	if response.StatusCode != http.StatusOK {
		return showAPIError(e, response.Body)
	}
	fmt.Fprint(e.stdout, "  as it arrives       ")
	return showText(e, response.Body)
}

// showAPIError prints the message of an error body.
func showAPIError(e env, body io.Reader) error {
	var answer struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return fmt.Errorf("reading the error: %w", err)
	}
	fmt.Fprintf(e.stdout, "                      %s\n", answer.Error.Message)
	return nil
}

// showText prints the text of a stream of events, each piece when it comes. Its line
// ends with the text, before the log's line about the whole.
func showText(e env, body io.Reader) error {
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var event struct {
			Type  string `json:"type"`
			Delta struct {
				Text string `json:"text"`
			} `json:"delta"`
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return fmt.Errorf("reading an event: %w", err)
		}
		fmt.Fprint(e.stdout, event.Delta.Text)
		if event.Type == "content_block_stop" {
			fmt.Fprintln(e.stdout)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the stream: %w", err)
	}
	return nil
}
