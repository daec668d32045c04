package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// A client with prior knowledge of HTTP/2 sends its preface and frames at once. The refusal reaches
// it whole, and nobody can fill the log with it.
func TestHTTP2WithoutTLSIsRefused(t *testing.T) {
	d := openDoor(t, refusedUpstream(t))
	conn := d.dial(t)
	conn.send(t, http2.ClientPreface)
	frames := newFrameConn(conn.Conn)
	_ = frames.WriteSettings()
	frames.response(1, true, "200") // any HEADERS will do
	response, body := conn.response(t, "PRI")
	ours(t, response, body, http.StatusBadRequest, "invalid_request", "http_request_error")
	if response.Proto != "HTTP/1.1" || !response.Close || !strings.Contains(body, "use HTTP/1.1") {
		t.Errorf("got %s, close %v, %s", response.Proto, response.Close, body)
	}
	if rest, err := io.ReadAll(conn.in); err != nil || len(rest) > 0 {
		t.Errorf("after the refusal %q, %v", rest, err)
	}
	if line := d.log.requests(t, 1)[0]; !strings.Contains(line, `"level":"DEBUG"`) {
		t.Errorf("logged as %s", line)
	}
}
