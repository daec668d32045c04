package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"

	"oauth-proxyd/internal/proxy"
)

const (
	// probePause is between two events of the response: long enough to tell whether they
	// come one by one, also on a busy machine.
	probePause = 300 * time.Millisecond
	// maxProbeBody is more than doctor sends.
	maxProbeBody     = 1 << 20
	probeBodyTimeout = 10 * time.Second
)

// serveProbe responds to r if it is one that doctor announced, and reports whether it is.
// The access rules are those of every request. It is never sent to the upstream.
func (d *daemon) serveProbe(p *proxy.Proxy, w http.ResponseWriter, r *http.Request) bool {
	e, serve := d.probes.arrive(r, time.Now())
	if e == nil {
		return false
	}
	id, err := p.Judge(r, d.view.config().Access.Allow)
	if err == nil && !serve {
		err = proxy.Refusal(proxy.CodeInvalidRequest, "this request of oauth-proxyd doctor was served before, or is too old")
	}
	d.log.Info("a request of doctor came", "source", string(id.Source), "refused", err != nil)
	if serve {
		d.probes.note(e, func(r *ProbeReport) {
			r.Sender, r.Entry = d.view.naming().sender(id)
			r.Refused = refusalText(err)
		})
	}
	if err != nil {
		p.Refuse(w, r, err)
		return true
	}
	arrived := e.compare(p, w, r)
	d.probes.note(e, func(r *ProbeReport) {
		arrived.Arrivals, arrived.Sender, arrived.Entry = r.Arrivals, r.Sender, r.Entry
		*r = arrived
	})
	d.respondToProbe(e, arrived, w, r)
	return true
}

// refusalText is what the operator is told: the cause, if there is one.
func refusalText(err error) string {
	if err == nil {
		return ""
	}
	return cmp.Or(errors.Unwrap(err), err).Error()
}

// compare says what the way here has left of the request.
func (e *probe) compare(p *proxy.Proxy, w http.ResponseWriter, r *http.Request) ProbeReport {
	report := ProbeReport{
		Method: r.Method, Path: r.URL.EscapedPath(), Protocol: r.Proto,
		Query:         r.URL.Query().Get("beta") == "true",
		Authorization: compareHash(strings.Join(r.Header["Authorization"], "\n"), e.AuthorizationSHA256),
		APIKey:        len(r.Header["X-Api-Key"]) > 0,
		Header:        http.Header{},
		Upstream:      elements(p.Rewritten(r)["Anthropic-Beta"]),
	}
	for _, name := range ProbeHeaders() {
		if values, came := r.Header[name]; came {
			report.Header[name] = values
		}
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(probeBodyTimeout)) // each server's writer has it
	body, err := io.ReadAll(io.LimitReader(r.Body, maxProbeBody))
	report.Body = compareHash(string(body), e.BodySHA256)
	if err != nil {
		report.Body = Changed
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // likewise
	return report
}

// compareHash compares by hash, so that nothing of what came need be kept.
func compareHash(came, sent string) Comparison {
	sum := sha256.Sum256([]byte(came))
	switch {
	case hex.EncodeToString(sum[:]) == sent:
		return Same
	case came == "":
		return Absent
	default:
		return Changed
	}
}

// elements are those of a comma-separated list in any number of lines (RFC 9110
// §5.6.1).
func elements(lines []string) []string {
	all := []string{}
	for element := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if element = strings.TrimSpace(element); element != "" {
			all = append(all, element)
		}
	}
	return all
}

// respondToProbe responds as the API does, with a stream of events of which the text is
// the report, and notes when each was sent.
func (d *daemon) respondToProbe(e *probe, arrived ProbeReport, w http.ResponseWriter, r *http.Request) {
	proxy.NameResponse(w, r)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	stream := probeStream{w: w, hash: sha256.New()}
	for i, event := range probeEvents(arrived) {
		if i > 0 && !pause(r.Context(), probePause) {
			return // the client left
		}
		d.probes.note(e, func(r *ProbeReport) { r.Sent = append(r.Sent, time.Now().UTC()) })
		if !stream.send(event) {
			return // likewise
		}
	}
	d.probes.note(e, func(r *ProbeReport) { r.ResponseSHA256 = hex.EncodeToString(stream.hash.Sum(nil)) })
}

// pause reports whether the time passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// probeStream writes events and keeps the hash of all.
type probeStream struct {
	w    http.ResponseWriter
	hash hash.Hash
}

func (s *probeStream) send(event string) bool {
	s.hash.Write([]byte(event))
	if _, err := io.WriteString(s.w, event); err != nil {
		return false
	}
	return http.NewResponseController(s.w).Flush() == nil
}

// probeEvents are those of a streamed message
// (https://docs.anthropic.com/en/docs/build-with-claude/streaming).
func probeEvents(arrived ProbeReport) []string {
	report, err := json.Marshal(arrived)
	if err != nil {
		panic("daemon: marshalling a report of strings: " + err.Error())
	}
	event := func(name, rest string) string {
		return fmt.Sprintf("event: %s\ndata: {\"type\":%q%s}\n\n", name, name, rest)
	}
	delta := func(text string) string {
		return event("content_block_delta", fmt.Sprintf(`,"index":0,"delta":{"type":"text_delta","text":%s}`, jsonString(text)))
	}
	return []string{
		event("message_start", `,"message":{"id":"msg_doctor","type":"message","role":"assistant","model":"oauth-proxyd-doctor","content":[],`+
			`"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}`),
		event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`),
		delta("oauth-proxyd responds to this request of doctor itself. What arrived: "),
		delta(string(report)),
		event("content_block_stop", `,"index":0`),
		event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":0}`),
		event("message_stop", ""),
	}
}

func jsonString(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic("daemon: marshalling a string: " + err.Error())
	}
	return string(text)
}
