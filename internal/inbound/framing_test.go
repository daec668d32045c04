package inbound

import (
	"slices"
	"strings"
	"testing"
)

// FuzzFraming compares the counts for any cutting of the bytes.
func FuzzFraming(f *testing.F) {
	f.Add("POST / HTTP/1.1\r\nContent-Length: 1\r\nTRANSFER-ENCODING: chunked\r\n\r\ncontent-length:", uint8(3))
	f.Add("a\ncontent-length:\ntransfer-encoding:\n\n\n", uint8(1))
	f.Fuzz(func(t *testing.T, sent string, size uint8) {
		var got framing
		for p := range slices.Chunk([]byte(sent), int(size)+1) {
			got.scan(p)
		}
		var lengths, codings int64
		for line := range strings.Lines(sent) {
			if len(line) >= len(lengthField) && strings.EqualFold(line[:len(lengthField)], lengthField) {
				lengths++
			}
			if len(line) >= len(codingField) && strings.EqualFold(line[:len(codingField)], codingField) {
				codings++
			}
		}
		if got.all.lengths.Load() != lengths || got.all.codings.Load() != codings {
			t.Errorf("counted %d and %d, want %d and %d", got.all.lengths.Load(), got.all.codings.Load(), lengths, codings)
		}
	})
}
