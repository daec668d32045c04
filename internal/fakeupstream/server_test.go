package fakeupstream_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/fakeupstream"
)

// TestStopCutsAStream proves with TestMain that it leaves no goroutine.
func TestStopCutsAStream(t *testing.T) {
	url, stop, err := fakeupstream.Start(fakeupstream.Handler(fakeupstream.Config{
		Pause: func(r *http.Request) { <-r.Context().Done() },
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	r := request(t.Context(), t, http.MethodPost, url+"/v1/messages", strings.NewReader(`{"model":"m","stream":true}`))
	resp, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stop()
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the stream came to a clean end")
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		conn.Close()
		t.Error("a connection was accepted after the stop")
	}
}
