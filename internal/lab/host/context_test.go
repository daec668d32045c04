package host_test

import (
	"context"
	"testing"
)

// contextOf is the test's, or one without an end once the test cleans up.
func contextOf(t *testing.T) context.Context {
	if ctx := t.Context(); ctx.Err() == nil {
		return ctx
	}
	return context.WithoutCancel(t.Context())
}
