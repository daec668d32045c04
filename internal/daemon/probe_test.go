package daemon

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"oauth-proxyd/internal/admin"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// carrying returns a request with the nonce in its header.
func carrying(nonce string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/messages?beta=true", http.NoBody)
	r.Header.Set(admin.ProbeHeader, nonce)
	return r
}

func TestProbeLifetime(t *testing.T) {
	for _, row := range []struct {
		name  string
		after time.Duration
		serve bool
	}{
		{"at once", 0, true},
		{"late", probeLife - time.Second, true},
		{"too late", probeLife, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s probes
				nonce := s.expect()
				<-time.After(row.after)
				synctest.Wait()
				found, serve := s.arrive(carrying(nonce))
				if (found != "") != row.serve || serve != row.serve {
					t.Errorf("known %v, to be served %v; want %v", found != "", serve, row.serve)
				}
			})
		})
	}
}

func TestProbeIsServedOnce(t *testing.T) {
	var s probes
	nonce := s.expect()
	for i := range 3 {
		if _, serve := s.arrive(carrying(nonce)); serve != (i == 0) {
			t.Errorf("arrival %d: to be served: %v", i+1, serve)
		}
	}
	if _, serve := s.arrive(carrying(rand.Text())); serve {
		t.Error("another nonce is served")
	}
	if n := s.reportOn(nonce).Arrivals; n != 3 {
		t.Errorf("the report counts %d arrivals", n)
	}
}

// A nonce elsewhere in a request does not make it a probe.
func TestNonceCountsInItsHeaderOnly(t *testing.T) {
	var s probes
	nonce := s.expect()
	for name, change := range map[string]func(*http.Request){
		"the query":          func(r *http.Request) { r.URL.RawQuery = "doctor=" + nonce },
		"Authorization":      func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+nonce) },
		"Cookie":             func(r *http.Request) { r.Header.Set("Cookie", nonce) },
		"X-Request-Id":       func(r *http.Request) { r.Header.Set("X-Request-Id", "req_"+nonce) },
		"a longer value":     func(r *http.Request) { r.Header.Set(admin.ProbeHeader, nonce+"A") },
		"a part of it":       func(r *http.Request) { r.Header.Set(admin.ProbeHeader, nonce[1:]) },
		"one of two lines":   func(r *http.Request) { r.Header[admin.ProbeHeader] = []string{nonce, "other"} },
		"nothing":            func(r *http.Request) { r.Header[admin.ProbeHeader] = nil },
		"an empty line":      func(r *http.Request) { r.Header.Set(admin.ProbeHeader, "") },
		"a list in one line": func(r *http.Request) { r.Header.Set(admin.ProbeHeader, nonce+", "+nonce) },
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/messages", http.NoBody)
		change(r)
		if found, _ := s.arrive(r); found != "" {
			t.Errorf("it is found in %s", name)
		}
	}
}

func TestNoncesAreLong(t *testing.T) {
	var s probes
	seen := map[string]bool{}
	for range 64 {
		nonce := s.expect()
		if len(nonce) < 26 || seen[nonce] { // base32: 5 bits each
			t.Errorf("nonce %q", nonce)
		}
		seen[nonce] = true
	}
}
