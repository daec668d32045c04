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
	// maxRendering is how many clients the metrics are rendered for at the same time. Others wait:
	// it takes milliseconds.
	maxRendering = 2
	// maxReaders is how many clients may have rendered metrics before them that they have not read.
	// Others are refused until one has read them, or was given up.
	maxReaders = 8
)

// exposition serves metrics. A client that does not read them holds their text, which nobody else
// waits for, and not what it was rendered from.
type exposition struct {
	gather    prometheus.Gatherer
	log       *slog.Logger
	rendering chan struct{} // has an element for each rendering
	readers   chan struct{} // and for each reader
}

func newExposition(gather prometheus.Gatherer, log *slog.Logger) *exposition {
	return &exposition{
		gather: gather, log: log,
		rendering: make(chan struct{}, maxRendering), readers: make(chan struct{}, maxReaders),
	}
}

// serve writes OpenMetrics for a client that accepts it, and Prometheus's text format for all
// others. An error is for the client, which got nothing yet.
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

// render waits for its turn and gathers the metrics into one text.
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
		e.log.Error("gathering metrics", "error", gathering) // the others are complete
	}
	return text.Bytes(), err
}

// shadowed is a gauge of the Go collector that no format serves. OpenMetrics names the family of a
// counter without _total, so this gauge and the counter go_memstats_alloc_bytes_total would be one
// family, declared twice, which parsers refuse. go_memstats_heap_alloc_bytes has the same value.
const shadowed = "go_memstats_alloc_bytes"

// encode writes the metrics of g as text. The encoders of expfmt bring those of protocol buffers
// into the binary.
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
