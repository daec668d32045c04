package selftest

import (
	"context"
	"errors"
)

// property is something that must hold whatever the configuration says.
type property struct {
	name  string
	check func(context.Context, *lab) error
}

// properties in the order of a request's way.
func properties() []property {
	return []property{
		{"a request body arrives byte for byte (up to 1 MiB)", checkRequestBody},
		{"path and query arrive as they were sent", checkTarget},
		{"repeated header lines are kept, both ways", checkRepeatedLines},
		{"spoofed tailscale-* and x-forwarded-* are dropped", checkSpoofed},
		{"an answer arrives byte for byte, with its headers", checkAnswer},
		{"each event of a stream comes at once", checkPace},
		{"gzip stays as it is, both ways", checkGzip},
		{"trailers pass both ways", checkTrailers},
		{"an answer may come before the request's end", checkEarly},
		{"429 and 529 keep retry-after and rate limits", checkRefusals},
		{"an error in a stream passes", checkErrorMidStream},
		{"a stream that breaks off looks broken", checkCut},
		{"the upstream learns that a client left", checkCancel},
	}
}

// caution is a finding that the operator may have wanted so.
type caution struct{ text string }

// Error implements error.
func (c caution) Error() string { return c.text }

func propertyVerdict(name, protocol string, failed error) Verdict {
	v := Verdict{Name: name, Upstream: protocol, Status: OK}
	if failed == nil {
		return v
	}
	v.Status, v.Details = Fail, []string{failed.Error()}
	if _, ok := errors.AsType[caution](failed); ok {
		v.Status = Warn
	}
	return v
}
