package doctor

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
)

const (
	// responseLimit bounds the wait for a gateway's response to begin.
	responseLimit = 20 * time.Second
	maxResponse   = 1 << 20
	// sentBeta is a complete list such as Claude Code sends.
	sentBeta = "claude-code-20250219," + config.OAuthBeta + ",interleaved-thinking-2025-05-14,context-management-2025-06-27"
)

// probe is one request through a gateway, and its response.
type probe struct {
	nonce   string
	request *http.Request

	status   int
	body     []byte      // of the response
	arrivals []time.Time // of its events
	err      error
}

// checkGateway sends a probe through the gateway. The running daemon recognizes it, responds to it,
// and reports what arrived.
func checkGateway(ctx context.Context, x *facts) []Finding {
	switch {
	case x.Through == "":
		return nil
	case errors.Is(x.daemonErr, os.ErrPermission):
		return []Finding{unknown("%s was not tried: only root and the group oauth-proxyd may announce a probe to the daemon", x.Through).fix(asRoot)}
	case x.daemon == nil:
		return []Finding{unknown("%s was not tried: the daemon is not running, so nothing can respond to the probe", x.Through).fix(x.start())}
	}
	p, err := x.newProbe(ctx)
	if err != nil {
		return []Finding{unknown("%s was not tried: %v", x.Through, err)}
	}
	p.send()
	report, err := x.Daemon.ProbeReport(ctx, p.nonce)
	switch {
	case err != nil:
		return []Finding{unknown("the daemon did not report what came through %s: %v", x.Through, err)}
	case report.Arrivals == 0:
		return []Finding{x.notArrived(ctx, p)}
	}
	return x.arrived(p, report)
}

// newProbe makes a request like those of Claude Code, under our own name, and has the daemon expect
// it. Wherever a gateway sends the request, it costs nothing: the token opens nothing, and the API
// refuses an empty message. The model is one of those in the block to paste.
func (x *facts) newProbe(ctx context.Context) (*probe, error) {
	const body = `{"model":"claude-sonnet-4-5","max_tokens":1,"stream":true,"messages":[{"role":"user","content":""}]}`
	target := strings.TrimSuffix(x.Through, "/") + "/v1/messages?beta=true"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	nonce, err := x.Daemon.ExpectProbe(ctx)
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{
		"Accept":                   {"application/json"},
		"Anthropic-Beta":           {sentBeta},
		"Anthropic-Version":        {"2023-06-01"},
		"Authorization":            {admin.ProbeAuthorization + nonce},
		"Content-Type":             {"application/json"},
		"User-Agent":               {"oauth-proxyd-doctor/" + x.Version},
		"X-App":                    {"cli"},
		"X-Claude-Code-Session-Id": {"doctor-" + rand.Text()},
		"X-Request-Id":             {"req_" + rand.Text()},
		admin.ProbeHeader:          {nonce},
	}
	if x.settings != nil && len(x.settings.Identity.From) > 0 {
		request.Header[x.settings.Identity.Header] = []string{admin.ProbePerson}
	}
	return &probe{nonce: nonce, request: request}, nil
}

// send sends the request and reads the response to its end. Like Claude Code, it uses the proxy of
// the environment, if there is one.
func (p *probe) send() {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableCompression: true, DisableKeepAlives: true,
		TLSHandshakeTimeout: shortLimit, ResponseHeaderTimeout: responseLimit,
	}
	response, err := transport.RoundTrip(p.request)
	if err != nil {
		p.err = err
		return
	}
	defer response.Body.Close()
	p.status = response.StatusCode
	p.err = p.read(response.Body)
}

// read records when each event arrives. An event ends with an empty line.
func (p *probe) read(body io.Reader) error {
	lines := bufio.NewScanner(io.LimitReader(body, maxResponse))
	for lines.Scan() {
		p.body = append(p.body, lines.Bytes()...)
		if len(lines.Bytes()) == 0 {
			p.arrivals = append(p.arrivals, time.Now())
		}
	}
	return lines.Err()
}
