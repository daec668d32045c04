package daemon

import (
	"bytes"
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
	text, err := e.render(format)
	if err != nil {
		return err
	}
	proxy.NameResponse(w, r)
	w.Header().Set("Content-Type", string(format))
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // the client may have left
	return nil
}

// shadowed is a gauge of the Go collector that is not served. OpenMetrics names the family of a
// counter without _total, so that this gauge and the counter go_memstats_alloc_bytes_total would
// declare one family twice, which parsers refuse. go_memstats_heap_alloc_bytes has the same value.
const shadowed = "go_memstats_alloc_bytes"

// render waits for its turn and renders the metrics. It does not use expfmt.NewEncoder, which adds
// the code for protocol buffers to the binary.
func (e *exposition) render(format expfmt.Format) (_ []byte, err error) {
	e.rendering <- struct{}{}
	defer func() { <-e.rendering }()
	families, gathering := e.gather.Gather()
	if gathering != nil {
		e.log.Error("gathering metrics", "error", gathering) // the other metrics are complete
	}
	var text bytes.Buffer
	isOpen := format.FormatType() == expfmt.TypeOpenMetrics
	for _, f := range families {
		switch {
		case f.GetName() == shadowed:
		case isOpen:
			_, err = expfmt.MetricFamilyToOpenMetrics(&text, f)
		default:
			_, err = expfmt.MetricFamilyToText(&text, f)
		}
		if err != nil {
			return nil, err
		}
	}
	if isOpen {
		_, err = expfmt.FinalizeOpenMetrics(&text)
	}
	return text.Bytes(), err
}
