package fakeupstream

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Request is what the upstream saw of one request.
type Request struct {
	// Method is the request's method, such as POST.
	Method string

	// Target is the request target as it was sent (RFC 9112 §3.2), or the
	// :path of HTTP/2: nothing in it is decoded or cleaned.
	Target string

	// Proto is the protocol, "HTTP/1.1" or "HTTP/2.0".
	Proto string

	// Host is the Host field, or the :authority of HTTP/2.
	Host string

	// Header is a copy of the header fields that belongs to the receiver. The
	// values of Authorization, Proxy-Authorization, X-Api-Key and Cookie are
	// replaced by the kind of credential: "[oauth]", "[api_key]" or "[other]".
	Header http.Header

	// CredentialSHA256 is CredentialSHA256 of the header fields before they
	// were masked.
	CredentialSHA256 string

	// BodyLength counts the body's bytes that were read.
	BodyLength int64

	// BodySHA256 is the hash of these bytes in lower-case hex.
	BodySHA256 string

	// BodyComplete tells that the body was read to its end without an error.
	// It is false for the model "early-close", for a body over the limit and
	// for a client that left.
	BodyComplete bool

	// Trailer holds the trailer fields that came after the body (RFC 9110
	// §6.5), masked like Header; nil if there were none.
	Trailer http.Header
}

// CredentialSHA256 hashes the credential fields of h, in lower-case hex, so
// that the sender of a request can tell that they arrived untouched without
// anybody keeping them. It is empty if there are none.
func CredentialSHA256(h http.Header) string {
	sum := sha256.New()
	found := false
	for _, name := range credentialNames() {
		for _, value := range h[name] {
			found = true
			_, _ = io.WriteString(sum, name+": "+value+"\n") // a hash never fails
		}
	}
	if !found {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// credentialNames lists the fields that can carry a credential.
func credentialNames() []string {
	return []string{"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key"}
}

// credential is the kind of a credential; its text is what a log may say.
type credential string

const (
	credentialNone   credential = "none"
	credentialOAuth  credential = "oauth"
	credentialAPIKey credential = "api_key"
	credentialOther  credential = "other"
)

// credentialOf names what the request authenticates with. A key is one in
// x-api-key, or a bearer that has the form of a key: SDKs send both.
func credentialOf(h http.Header) credential {
	if h.Get("X-Api-Key") != "" {
		return credentialAPIKey
	}
	return kindOf("Authorization", h.Get("Authorization"))
}

func kindOf(name, value string) credential {
	scheme, token, _ := strings.Cut(value, " ")
	switch {
	case value == "":
		return credentialNone
	case name == "X-Api-Key":
		return credentialAPIKey
	case name != "Authorization" || !strings.EqualFold(scheme, "Bearer"):
		return credentialOther
	case strings.HasPrefix(token, "sk-ant-oat"):
		return credentialOAuth
	case strings.HasPrefix(token, "sk-ant-api"):
		return credentialAPIKey
	}
	return credentialOther
}

// masked is a copy of h without the values of its credentials.
func masked(h http.Header) http.Header {
	out := h.Clone()
	for name, values := range out {
		if !slices.Contains(credentialNames(), name) {
			continue
		}
		for i, value := range values {
			values[i] = "[" + string(kindOf(name, value)) + "]"
		}
	}
	return out
}
