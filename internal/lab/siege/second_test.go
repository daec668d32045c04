package siege

import "testing"

// TestAvailable proves that the verdict is found among the codes for colours.
func TestAvailable(t *testing.T) {
	for out, want := range map[string]string{
		"": "no verdict",
		"service available:\x1b[1;32m   \x1b[1;32mYES\x1b[0m\n":                                    "available to the last",
		"service available:\x1b[1;32m   \x1b[1;32mYES\x1b[0m\nservice available:   \x1b[1;31mNO\n": "not available",
	} {
		if got := available([]byte(out)); got != want {
			t.Errorf("%q: %q, want %q", out, got, want)
		}
	}
}
