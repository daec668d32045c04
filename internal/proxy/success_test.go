package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What an upstream sends, in order, with the times that it waits.
const (
	anOK        = "HTTP/1.1 200 OK\r\nRequest-Id: req_1\r\n"
	streamHead  = anOK + "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	startChunk  = "1f\r\nevent: message_start\ndata: {}\n\n\r\n"
	stopChunk   = "1e\r\nevent: message_stop\ndata: {}\n\n\r\n"
	halfChunk   = "17\r\nevent: message_stop\ndat\r\n"
	pingChunk   = "16\r\nevent: ping\ndata: {}\n\n\r\n"
	lastChunk   = "0\r\n\r\n"
	streamBreak = "" // the connection ends
)

// play sends what the steps say: text, or a time to wait.
func play(c net.Conn, steps []any) {
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			_, _ = io.WriteString(c, step)
		case time.Duration:
			time.Sleep(step)
		}
	}
}

// A request does not succeed with the header of its response alone, nor does a message without its
// end.
func TestBegunResponseIsNotASuccess(t *testing.T) {
	const message = "POST /v1/messages"
	second, forever := time.Second, 10*time.Minute
	for name, row := range map[string]struct {
		steps  []any
		stay   time.Duration // of the client
		target string
		want   string // how Trouble goes on after "no … has succeeded for … s: "; "": there is none
	}{
		"a header and then nothing":    {[]any{streamHead, forever}, 12 * second, message, "the upstream was silent for 12 s when the client left (3 in a row); run"},
		"half an event":                {[]any{streamHead, halfChunk, forever}, 30 * second, message, "the upstream was silent for 30 s when the client left (3 in a row)"},
		"nothing at all":               {[]any{forever}, 12 * second, message, "the upstream was silent for 12 s when the client left (3 in a row); run"},
		"only a ping":                  {[]any{streamHead, pingChunk, forever}, 30 * second, message, "the upstream was silent for 30 s when the client left (3 in a row)"},
		"a client that leaves soon":    {[]any{streamHead, forever}, 9 * second, message, ""},
		"a client that has an event":   {[]any{streamHead, startChunk, forever}, 9 * second, message, ""},
		"a message":                    {[]any{streamHead, startChunk, pingChunk, second, stopChunk, lastChunk}, forever, message, ""},
		"events that are no message":   {[]any{streamHead, "a\r\ndata: {}\n\n\r\n", lastChunk}, forever, message, ""},
		"a message without its end":    {[]any{streamHead, startChunk, lastChunk}, forever, message, "the upstream ended the stream before message_stop (3 in a row); run"},
		"half of its end":              {[]any{streamHead, startChunk, halfChunk, lastChunk}, forever, message, "the upstream ended the stream before message_stop (3 in a row)"},
		"another stream":               {[]any{streamHead, startChunk, lastChunk}, forever, "POST /v1/x", ""},
		"an empty response":            {[]any{anOK + "Content-Length: 0\r\n\r\n"}, forever, message, "the upstream sent an empty response to a message (3 in a row)"},
		"an empty response to another": {[]any{anOK + "Content-Length: 0\r\n\r\n"}, forever, "POST /v1/x", ""},
		"a response without content":   {[]any{"HTTP/1.1 204 No Content\r\nRequest-Id: req_1\r\n\r\n"}, forever, message, "the upstream sent an empty response to a message (3 in a row)"},
		"a stream that stalls":         {[]any{streamHead, startChunk, forever}, 40 * second, message, "the upstream was silent for 40 s when the client left (3 in a row); run"},
		"an error of a firewall":       {[]any{"HTTP/1.1 403 F\r\nContent-Length: 2\r\n\r\n{}"}, forever, message, "the upstream responded 403 Forbidden (3 in a row); the API sends a request-id"},
		"an upstream that gave up":     {[]any{"HTTP/1.1 499 X\r\nContent-Length: 2\r\n\r\n{}"}, forever, message, "the upstream responded 499 (3 in a row); the API sends a request-id"},
		"only other requests fail": {
			[]any{"HTTP/1.1 500 X\r\nRequest-Id: req_1\r\nContent-Length: 2\r\n\r\n{}"},
			forever, message + "/count_tokens",
			"the upstream responded 500 Internal Server Error for POST /v1/messages/count_tokens (3 in a row)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := openBubble(t, "http", nil, func(c net.Conn) {
					if r, _ := readRequest(bufio.NewReader(c)); r != nil {
						play(c, row.steps)
					}
				})
				for range 3 {
					b.visit(row.target, row.stay)
					synctest.Wait()
				}
				stats := b.Stats()
				_, got, _ := strings.Cut(stats.Trouble(time.Now()), ": ")
				if !strings.HasPrefix(got, row.want) || row.want == "" && got != "" {
					t.Errorf("got %q, want %q", got, row.want)
				}
				if row.want != "" && stats.Failed != 3 {
					t.Errorf("3 failed in a row, and %d since the start", stats.Failed)
				}
				if row.want != "" && !stats.LastSuccess.IsZero() {
					t.Errorf("it failed, and last succeeded %v", stats.LastSuccess)
				}
				last := b.Ended()[0]
				if early := strings.Contains(row.want, "message_stop") || strings.Contains(row.want, "empty"); early != (last.Outcome == "incomplete") || early && !last.Failed() {
					t.Errorf("explain says %q", last.Outcome)
				} else if n := b.RecentErrors(time.Now())["5m"].Errors["incomplete"]; early != (n > 0) {
					t.Errorf("%d responses were incomplete", n)
				}
				if foreign := strings.Contains(row.want, "request-id"); foreign != (last.Outcome == "no_request_id" && last.Failed() && last.Error != "") {
					t.Errorf("explain says %q, %q", last.Outcome, last.Error)
				}
				time.Sleep(forever) // until the upstream has played
			})
		})
	}
}

// visit sends a request, and stays until the response ends, or this long.
func (b *bubble) visit(target string, stay time.Duration) {
	c := b.door.dial()
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(stay))
	_, _ = io.WriteString(c, target+" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
	if response, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
	}
}

// Streams that are all cut are failures, however many have just begun. After that, a stream that
// carries data for ten seconds is a success before its end.
func TestStreamsSucceedWhenTheyFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := []any{streamHead, startChunk, time.Second, streamBreak}
		b := openBubble(t, "http", nil, func(c net.Conn) {
			if r, _ := readRequest(bufio.NewReader(c)); r != nil {
				play(c, steps)
			}
		})
		visits := func(n int) {
			for range n {
				go b.visit("POST /v1/messages", time.Hour)
				time.Sleep(100 * time.Millisecond)
			}
		}
		visits(75)
		stats := b.Stats()
		if stats.InARow < 60 || stats.InFlight == 0 || !stats.LastSuccess.IsZero() {
			t.Errorf("all streams are cut: %+v", stats)
		}
		time.Sleep(time.Minute)
		steps = slices.Concat([]any{streamHead}, slices.Repeat([]any{startChunk, 2 * time.Second}, 100), []any{stopChunk, lastChunk})
		visits(12)
		time.Sleep(5 * time.Second)
		if trouble := b.Stats().Trouble(time.Now()); !strings.Contains(trouble, "upstream_interrupted") {
			t.Errorf("the streams have only begun: %q", trouble)
		}
		time.Sleep(6 * time.Second)
		if stats := b.Stats(); stats.Trouble(time.Now()) != "" || stats.InFlight != 12 || stats.LastSuccess.IsZero() {
			t.Errorf("the streams flow: %+v", stats)
		}
		time.Sleep(5 * time.Minute)
	})
}
