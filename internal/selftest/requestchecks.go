package selftest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
)

const (
	bodySize = 1 << 20
	// rawTarget holds what libraries like to clean, encode or cut.
	rawTarget = "/v1/selftest//a%2Fb;c/{d}|/%7Ee/./%20?x=1;y=%20&&z={w}|&q=%2f+"
	spoof     = "spoofed-by-selftest"
)

// checkRequestBody sends bytes of every value.
func checkRequestBody(ctx context.Context, l *lab) error {
	body := make([]byte, min(bodySize, l.settings.Proxy.MaxRequestBody))
	_, _ = rand.NewChaCha8([32]byte{}).Read(body) // never fails
	r, err := l.request(ctx, http.MethodPost, "/v1/selftest", bytes.NewReader(body))
	if err != nil {
		return err
	}
	x, err := l.ask(ctx, r)
	if err != nil {
		return err
	}
	return x.sameBody(body)
}

// sameBody compares what the upstream read with what was sent.
func (x *exchange) sameBody(sent []byte) error {
	sum := sha256.Sum256(sent)
	got := x.seen.received
	switch {
	case !got.BodyComplete:
		return fmt.Errorf("the upstream did not see the end of the request body, %d of %d bytes came", got.BodyLength, len(sent))
	case got.BodyLength != int64(len(sent)):
		return fmt.Errorf("%d bytes were sent, %d arrived", len(sent), got.BodyLength)
	case got.BodySHA256 != hex.EncodeToString(sum[:]):
		return fmt.Errorf("%d bytes arrived, but not those that were sent", got.BodyLength)
	}
	return nil
}

func checkTarget(ctx context.Context, l *lab) error {
	r, err := l.request(ctx, http.MethodGet, rawTarget, nil)
	if err != nil {
		return err
	}
	x, err := l.ask(ctx, r)
	if err != nil {
		return err
	}
	if got := x.seen.received.Target; got != rawTarget {
		return fmt.Errorf("sent %s, arrived %s", rawTarget, got)
	}
	return nil
}

func checkRepeatedLines(ctx context.Context, l *lab) error {
	lines := []string{"b", "a, c", "b"}
	cookies := []string{"one=1; Path=/", "two=2"}
	l.witness.header = http.Header{"Set-Cookie": cookies}
	r, err := l.message(ctx, "long-1", false)
	if err != nil {
		return err
	}
	r.Header["X-Selftest-Line"] = lines
	x, err := l.ask(ctx, r)
	if err != nil {
		return err
	}
	if got := x.seen.received.Header["X-Selftest-Line"]; !slices.Equal(got, lines) {
		return fmt.Errorf("the lines %q of a request arrived as %q", lines, got)
	}
	if got := x.answer.Header["Set-Cookie"]; !slices.Equal(got, cookies) {
		return fmt.Errorf("the set-cookie lines %q of an answer arrived as %q", cookies, got)
	}
	return nil
}

// checkSpoofed looks for the values: a rule may set one of these headers itself.
func checkSpoofed(ctx context.Context, l *lab) error {
	r, err := l.message(ctx, "long-1", false)
	if err != nil {
		return err
	}
	for _, name := range []string{
		"Tailscale-User-Login", "Tailscale-User-Name", "Tailscale-App-Capabilities",
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded", "Via",
		"Cf-Connecting-Ip", "True-Client-Ip", "X-Client-Ip", "X-Claude-Gateway-User-Email",
	} {
		r.Header[name] = []string{spoof}
	}
	x, err := l.ask(ctx, r)
	if err != nil {
		return err
	}
	for name, values := range x.seen.received.Header {
		if strings.Contains(strings.Join(values, ","), spoof) {
			return fmt.Errorf("a made-up value reached the upstream in %s", strings.ToLower(name))
		}
	}
	return nil
}
