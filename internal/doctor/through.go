package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"oauth-proxyd/internal/daemon"
)

const (
	// answerLimit bounds the wait for a gateway's answer to begin.
	answerLimit = 20 * time.Second
	modelsLimit = 5 * time.Second
	maxAnswer   = 1 << 20
	// defaultModel is asked for where the gateway lists none that begins with "claude".
	defaultModel = "claude-sonnet-4-5"
	// sentBeta is a list such as Claude Code sends, complete.
	sentBeta = "claude-code-20250219," + oauthBeta + ",interleaved-thinking-2025-05-14,context-management-2025-06-27"
)

// attempt is one request through a gateway, and its answer.
type attempt struct {
	probe   daemon.Probe
	nonce   string
	request *http.Request

	status   int
	header   http.Header
	body     []byte      // of the answer
	arrivals []time.Time // of its events
	err      error
}

func checkThrough(ctx context.Context, x *exam) []Finding {
	if x.Through == "" {
		return nil
	}
	if x.daemon == nil {
		return []Finding{unknown("%s was not tried: the daemon must run, to answer what comes through it", x.Through).mend(x.start())}
	}
	gateway, err := url.Parse(x.Through)
	if err != nil {
		return []Finding{fail("%v", err)}
	}
	model := x.model(ctx, gateway)
	a, err := x.newAttempt(ctx, gateway.JoinPath("/v1/messages"), model)
	if err != nil {
		return []Finding{fail("%v", err)}
	}
	if err := a.announce(ctx); err != nil {
		return []Finding{unknown("%s was not tried: %v", x.Through, err)}
	}
	a.send()
	report, err := daemon.RequestProbeReport(ctx, a.nonce)
	if err != nil {
		return []Finding{unknown("what came through %s: %v", x.Through, err)}
	}
	if report.Arrivals == 0 && a.cameUnmarked(ctx) {
		return []Finding{unmarked()}
	}
	return x.judge(a, report)
}

// announce has the daemon expect the request, which then carries its nonce.
func (a *attempt) announce(ctx context.Context) (err error) {
	a.nonce, err = daemon.ExpectProbe(ctx, a.probe)
	a.request.Header.Set(daemon.ProbeHeader, a.nonce)
	return err
}

// cameUnmarked reports whether the daemon knows the request as an ordinary one, by its own id or
// by one in the response.
func (a *attempt) cameUnmarked(ctx context.Context) bool {
	for _, id := range []string{a.request.Header.Get("X-Request-Id"), a.header.Get("X-Request-Id"), a.header.Get("Request-Id")} {
		if id == "" {
			continue
		}
		if traces, err := daemon.ExplainRequest(ctx, id); err == nil && len(traces) > 0 {
			return true
		}
	}
	return false
}

// newAttempt makes a message request as Claude Code sends it, under our own name. The
// token opens nothing, and the API refuses an empty message unseen: whatever a
// gateway makes of the request, it costs nothing.
func (x *exam) newAttempt(ctx context.Context, target *url.URL, model string) (*attempt, error) {
	body, err := json.Marshal(map[string]any{
		"model": model, "max_tokens": 1, "stream": true,
		"messages": []any{map[string]string{"role": "user", "content": ""}},
	})
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	target.RawQuery = "beta=true"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	authorization := "Bearer sk-ant-oat01-doctor-" + rand.Text() + "-made-up"
	request.Header = http.Header{
		"Accept":                   {"application/json"},
		"Anthropic-Beta":           {sentBeta},
		"Anthropic-Version":        {"2023-06-01"},
		"Authorization":            {authorization},
		"Content-Type":             {"application/json"},
		"User-Agent":               {"oauth-proxyd-doctor/" + x.Version},
		"X-App":                    {"cli"},
		"X-Claude-Code-Session-Id": {"doctor-" + rand.Text()},
		"X-Request-Id":             {"req_" + rand.Text()},
	}
	return &attempt{request: request, probe: daemon.Probe{
		AuthorizationSHA256: hash([]byte(authorization)), BodySHA256: hash(body),
	}}, nil
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// gatewayTransport connects as Claude Code would: by a proxy only where the
// environment has one.
func gatewayTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableCompression: true, DisableKeepAlives: true,
		TLSHandshakeTimeout: shortLimit, ResponseHeaderTimeout: answerLimit,
	}
}

// send carries the request to the end of its answer, and notes when each event came.
func (a *attempt) send() {
	answer, err := gatewayTransport().RoundTrip(a.request)
	if err != nil {
		a.err = plain(err)
		return
	}
	defer answer.Body.Close()
	a.status, a.header = answer.StatusCode, answer.Header
	a.err = a.read(answer.Body)
}

// read takes the answer as it comes. An event ends with an empty line.
func (a *attempt) read(body io.Reader) error {
	buffer := make([]byte, 4<<10)
	for len(a.body) < maxAnswer {
		n, err := body.Read(buffer)
		a.body = append(a.body, buffer[:n]...)
		for events := bytes.Count(a.body, []byte("\n\n")); len(a.arrivals) < events; {
			a.arrivals = append(a.arrivals, time.Now())
		}
		switch {
		case err == io.EOF: //nolint:errorlint // a Reader returns it as it is
			return nil
		case err != nil:
			return err
		}
	}
	return fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
}

// model is one that the gateway knows: it may choose its provider by it. The question
// is a probe as well, so that a gateway which passes it on does not have it sent to
// the upstream.
func (x *exam) model(ctx context.Context, gateway *url.URL) string {
	ctx, cancel := context.WithTimeout(ctx, modelsLimit)
	defer cancel()
	a, err := x.newAttempt(ctx, gateway.JoinPath("/v1/models"), defaultModel)
	if err != nil || a.announce(ctx) != nil {
		return defaultModel
	}
	a.request.Method, a.request.Body, a.request.ContentLength = http.MethodGet, nil, 0
	answer, err := gatewayTransport().RoundTrip(a.request)
	if err != nil {
		return defaultModel
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		return defaultModel
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&list) != nil {
		return defaultModel
	}
	for _, m := range list.Data {
		if strings.HasPrefix(m.ID, "claude") {
			return m.ID
		}
	}
	return defaultModel
}
