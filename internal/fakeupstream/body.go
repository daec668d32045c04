package fakeupstream

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
)

// The API's limits of a request body, in bytes.
const (
	maxMessageBody = 32 << 20
	maxFileBody    = 500 << 20
	maxOtherBody   = 1 << 20
)

// errTooLarge is a body beyond the limit of its endpoint.
var errTooLarge = errors.New("request body too large")

// body counts and hashes a request body as it is read.
type body struct {
	from     io.Reader
	sum      hash.Hash
	length   int64
	complete bool
}

func newBody(from io.Reader) *body {
	return &body{from: from, sum: sha256.New()}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.sum.Write(p[:n])
	b.length += int64(n)
	b.complete = b.complete || errors.Is(err, io.EOF)
	return n, err
}

// readAll returns what is left, or errTooLarge once all that was read of the
// body exceeds limit.
func (b *body) readAll(limit int64) ([]byte, error) {
	data, err := io.ReadAll(b.upTo(limit))
	if err != nil {
		return nil, fmt.Errorf("reading the request body: %w", err)
	}
	if b.length > limit {
		return nil, errTooLarge
	}
	return data, nil
}

// discard reads to the end and keeps nothing; limit is as in readAll.
func (b *body) discard(limit int64) error {
	if _, err := io.Copy(io.Discard, b.upTo(limit)); err != nil {
		return fmt.Errorf("reading the request body: %w", err)
	}
	if b.length > limit {
		return errTooLarge
	}
	return nil
}

// upTo reads one byte more than the limit: the one that shows that a body is
// too long.
func (b *body) upTo(limit int64) io.Reader {
	return io.LimitReader(b, limit+1-b.length)
}

// decoded undoes the Content-Encoding of a message's body (RFC 9110 §8.4). The API takes
// gzip; what else a client may use is refused.
func decoded(h http.Header, data []byte) ([]byte, *apiError) {
	switch coding := h.Get("Content-Encoding"); coding {
	case "", "identity":
		return data, nil
	case "gzip":
		zip, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, invalid("The request body is not in gzip format")
		}
		plain, err := io.ReadAll(io.LimitReader(zip, maxMessageBody+1))
		if err != nil {
			return nil, invalid("The request body is not in gzip format")
		}
		if len(plain) > maxMessageBody {
			return nil, tooLarge()
		}
		return plain, nil
	default:
		return nil, &apiError{
			status: http.StatusUnsupportedMediaType, kind: "invalid_request_error",
			message: "Content-Encoding: " + strconv.Quote(coding) + " is not supported",
		}
	}
}

func (b *body) hash() string { return hex.EncodeToString(b.sum.Sum(nil)) }
