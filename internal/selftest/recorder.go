package selftest

import (
	"context"
	"log/slog"
	"strings"
)

// outcome is what the proxy wrote down of a request at its end.
type outcome struct {
	rules  []string // the result of each rule, in their order
	reason string   // why there was no whole answer of the upstream
}

// recorder is the log of a lab's proxy. It implements slog.Handler.
type recorder struct{ outcomes chan outcome }

func newRecorder() *recorder { return &recorder{outcomes: make(chan outcome, 16)} }

// Enabled implements slog.Handler.
func (*recorder) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler { return r }

// WithGroup implements slog.Handler.
func (r *recorder) WithGroup(string) slog.Handler { return r }

// Handle implements slog.Handler. Only the line about a request is of interest.
func (r *recorder) Handle(_ context.Context, line slog.Record) error {
	if line.Message != "request" {
		return nil
	}
	var o outcome
	line.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "header_rules":
			o.rules = results(a.Value.String())
		case "error":
			o.reason = a.Value.String()
		}
		return true
	})
	select {
	case r.outcomes <- o:
	default: // nobody asked for so many
	}
	return nil
}

// results reads "name=result,name=result". No header name holds either sign (RFC
// 9110 §5.6.2).
func results(text string) []string {
	var all []string
	for pair := range strings.SplitSeq(text, ",") {
		_, result, _ := strings.Cut(pair, "=")
		all = append(all, result)
	}
	return all
}
