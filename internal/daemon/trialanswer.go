package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/proxy"
)

const (
	// trialPause is between two events of the answer: long enough to tell whether they
	// come one by one, also on a busy machine.
	trialPause = 300 * time.Millisecond
	// maxTrialBody is more than doctor sends.
	maxTrialBody     = 1 << 20
	trialBodyTimeout = 10 * time.Second
)

// serveTrial answers r if it is one that doctor announced, and reports whether it is.
// The access rules are those of every request. It is never sent to the upstream.
func (d *daemon) serveTrial(p *proxy.Proxy, w http.ResponseWriter, r *http.Request) bool {
	t, answer := d.trials.arrive(r, time.Now())
	if t == nil {
		return false
	}
	id, err := p.Judge(r, access(d.view.config().Access.Allow))
	if err == nil && !answer {
		err = proxy.Refusal("this request of oauth-proxyd doctor was answered before, or is too old")
	}
	d.log.Info("a request of doctor came", "source", string(id.Source), "refused", err != nil)
	if answer {
		d.trials.note(t, func(r *TrialReport) { r.Sender, r.Entry = d.view.naming().sender(id) })
	}
	if err != nil {
		if answer {
			d.trials.note(t, func(r *TrialReport) { r.Refused = err.Error() })
		}
		p.Refuse(w, r, err)
		return true
	}
	arrived := t.compare(p, w, r)
	d.trials.note(t, func(r *TrialReport) {
		arrived.Arrivals, arrived.Sender, arrived.Entry = r.Arrivals, r.Sender, r.Entry
		*r = arrived
	})
	d.answerTrial(t, arrived, w, r)
	return true
}

// compare says what the way here has left of the request.
func (t *trial) compare(p *proxy.Proxy, w http.ResponseWriter, r *http.Request) TrialReport {
	a := TrialReport{
		Method: r.Method, Path: r.URL.EscapedPath(), Protocol: r.Proto,
		Query:         strings.Contains(r.URL.RawQuery, t.Nonce),
		Authorization: compareHash(strings.Join(r.Header["Authorization"], "\n"), t.AuthorizationSHA256),
		APIKey:        len(r.Header["X-Api-Key"]) > 0,
		Header:        http.Header{},
		Upstream:      elements(p.Rewritten(r)["Anthropic-Beta"]),
	}
	for name, values := range r.Header {
		switch _, sent := t.Header[name]; {
		case name == "Authorization":
		case sent && name != "X-Api-Key":
			a.Header[name] = values
		default:
			a.Added = append(a.Added, strings.ToLower(name))
		}
	}
	slices.Sort(a.Added)
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(trialBodyTimeout)) // each server's writer has it
	body, err := io.ReadAll(io.LimitReader(r.Body, maxTrialBody))
	a.Body = compareHash(string(body), t.BodySHA256)
	if err != nil {
		a.Body = Changed
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // likewise
	return a
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

// answerTrial answers as the API does, with a stream of events of which the text is
// the report, and notes when each was sent.
func (d *daemon) answerTrial(t *trial, arrived TrialReport, w http.ResponseWriter, r *http.Request) {
	proxy.NameAnswer(w, r)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	stream := trialStream{w: w, hash: sha256.New()}
	for i, event := range trialEvents(arrived) {
		if i > 0 && !pause(r.Context(), trialPause) {
			return // the client left
		}
		d.trials.note(t, func(r *TrialReport) { r.Sent = append(r.Sent, time.Now().UTC()) })
		if !stream.send(event) {
			return // likewise
		}
	}
	d.trials.note(t, func(r *TrialReport) { r.AnswerSHA256 = hex.EncodeToString(stream.hash.Sum(nil)) })
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

// trialStream writes events and keeps the hash of all.
type trialStream struct {
	w    http.ResponseWriter
	hash hash.Hash
}

func (s *trialStream) send(event string) bool {
	s.hash.Write([]byte(event))
	if _, err := io.WriteString(s.w, event); err != nil {
		return false
	}
	return http.NewResponseController(s.w).Flush() == nil
}

// trialEvents are those of a streamed message
// (https://docs.anthropic.com/en/docs/build-with-claude/streaming).
func trialEvents(arrived TrialReport) []string {
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
		delta("oauth-proxyd answers this request of doctor. What arrived: "),
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
