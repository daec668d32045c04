package daemon

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"oauth-proxyd/internal/proxy"
)

const (
	// maxRendering is how many renderings run at once. Other clients wait, for milliseconds.
	maxRendering = 2
	// maxReaders is how many clients may be served at once. Others are refused, because a client
	// that does not read holds the rendered text until its write deadline.
	maxReaders = 8
)

// exposition serves metrics. It renders them into a text first, so that a slow client holds up no
// rendering.
type exposition struct {
	gather    prometheus.Gatherer
	log       *slog.Logger
	rendering chan struct{} // an element for each rendering
	readers   chan struct{} // an element for each client
}

func newExposition(gather prometheus.Gatherer, log *slog.Logger) *exposition {
	return &exposition{
		gather: gather, log: log,
		rendering: make(chan struct{}, maxRendering), readers: make(chan struct{}, maxReaders),
	}
}

// serve writes OpenMetrics for a client that accepts it, and Prometheus's text format for others.
// An error is for the client, which has received nothing yet.
func (e *exposition) serve(w http.ResponseWriter, r *http.Request) error {
	select {
	case e.readers <- struct{}{}:
		defer func() { <-e.readers }()
	default:
		return proxy.Refusal(proxy.CodeOverloaded, "several clients are reading the metrics already")
	}
	format := expfmt.NegotiateAccept(r.Header, expfmt.FmtOpenMetrics_1_0_0, expfmt.FmtOpenMetrics_0_0_1, expfmt.FmtText)
	text, err := e.render(r.Context(), format)
	if err != nil {
		return err
	}
	proxy.NameResponse(w, r)
	w.Header().Set("Content-Type", string(format))
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // the client may have left
	return nil
}

// render waits for its turn and renders the metrics.
func (e *exposition) render(ctx context.Context, format expfmt.Format) ([]byte, error) {
	select {
	case e.rendering <- struct{}{}:
		defer func() { <-e.rendering }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	var text bytes.Buffer
	gathering, err := encode(&text, e.gather, format)
	if gathering != nil {
		e.log.Error("gathering metrics", "error", gathering) // the other metrics are complete
	}
	return text.Bytes(), err
}

// shadowed is a gauge of the Go collector that is not served. OpenMetrics names the family of a
// counter without _total, so that this gauge and the counter go_memstats_alloc_bytes_total would
// declare one family twice, which parsers refuse. go_memstats_heap_alloc_bytes has the same value.
const shadowed = "go_memstats_alloc_bytes"

// encode writes the metrics of g as text. It does not use expfmt.NewEncoder, which adds the code
// for protocol buffers to the binary.
func encode(w io.Writer, g prometheus.Gatherer, format expfmt.Format) (gathering, writing error) {
	openMetrics := format.FormatType() == expfmt.TypeOpenMetrics
	families, gathering := g.Gather()
	for _, f := range families {
		switch {
		case f.GetName() == shadowed:
		case openMetrics:
			_, writing = expfmt.MetricFamilyToOpenMetrics(w, f)
		default:
			_, writing = expfmt.MetricFamilyToText(w, f)
		}
		if writing != nil {
			return gathering, writing
		}
	}
	if openMetrics {
		_, writing = expfmt.FinalizeOpenMetrics(w)
	}
	return gathering, writing
}
