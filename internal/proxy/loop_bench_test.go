package proxy

import (
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// BenchmarkLoop is what the search for loops costs a request: to an upstream elsewhere, to one
// nearby, and to one nearby with a hundred duplicates in flight.
func BenchmarkLoop(b *testing.B) {
	ours, far, near := netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("127.0.0.1:443")
	for _, c := range []struct {
		name       string
		upstream   netip.AddrPort
		duplicates int
	}{{"far", far, 0}, {"near", near, 0}, {"duplicates", near, 100}} {
		b.Run(c.name, func(b *testing.B) {
			x := benchExchange(b, slog.New(slog.DiscardHandler), httptest.NewRecorder())
			out := x.rewrite()
			for range c.duplicates {
				defer x.remember(out, ours, c.upstream)()
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := x.checkLoop(); err != nil {
					b.Fatal(err)
				}
				x.remember(out, ours, c.upstream)()
			}
		})
	}
}
