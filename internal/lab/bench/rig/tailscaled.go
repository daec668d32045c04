package rig

import (
	"io"
	"net"
	"net/http"
	"sync"
)

// Tailscaled answers what oauth-proxyd asks of the daemon of a node that is up.
type Tailscaled struct {
	Path    string
	server  *http.Server
	serving sync.WaitGroup
}

const tailscaledStatus = `{"Version":"1.102.5","TUN":true,"BackendState":"Running","HaveNodeKey":true,
	"TailscaleIPs":["100.64.0.7"],"Health":[],"Self":{"HostName":"box","DNSName":"box.tail.ts.net.",
	"TailscaleIPs":["100.64.0.7"]}}`

// StartTailscaled serves at path until Close.
func StartTailscaled(path string) (*Tailscaled, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /localapi/v0/status", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, tailscaledStatus) // who left does not need it
	})
	mux.HandleFunc("GET /localapi/v0/watch-ipn-bus", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"Version":"1.102.5","State":6}`+"\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	t := &Tailscaled{Path: path, server: &http.Server{Handler: mux, ReadHeaderTimeout: patience}}
	t.serving.Go(func() { _ = t.server.Serve(l) })
	return t, nil
}

// Close ends it.
func (t *Tailscaled) Close() {
	_ = t.server.Close() // it serves nobody any more
	t.serving.Wait()
}
