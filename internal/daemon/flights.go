package daemon

import (
	"context"
	"net/http"
	"net/url"

	"oauth-proxyd/internal/proxy"
)

// RequestsInFlight asks the running daemon for the requests in flight, the oldest
// first. Errors are as those of [RequestReload].
func RequestsInFlight(ctx context.Context) ([]proxy.Trace, error) {
	var traces []proxy.Trace
	err := askAdmin(ctx, http.MethodGet, "/requests", &traces)
	return traces, err
}

// ExplainRequest asks the running daemon for what it remembers of the requests with
// that id, the latest last. Errors are as those of [RequestReload].
func ExplainRequest(ctx context.Context, id string) ([]proxy.Trace, error) {
	var traces []proxy.Trace
	err := askAdmin(ctx, http.MethodGet, "/requests/"+url.PathEscape(id), &traces)
	return traces, err
}

func (d *daemon) adminRequests(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, d.proxy.InFlight())
}

func (d *daemon) adminExplain(w http.ResponseWriter, r *http.Request) {
	found := d.proxy.Find(r.PathValue("id"))
	if found == nil {
		found = []proxy.Trace{} // a list in JSON too
	}
	writeJSON(w, found)
}
