package labapi

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Request is what the API saw of one request.
type Request struct {
	Method, Host, Proto string
	// Target is the request target as it was sent (RFC 9112 §3.2), or the :path of HTTP/2: nothing
	// in it is decoded or cleaned.
	Target string
	// Header is a copy of the header fields. The values of Authorization, Proxy-Authorization,
	// X-Api-Key and Cookie are replaced by the kind of credential: "[oauth]", "[api_key]" or
	// "[other]".
	Header http.Header
	// CredentialSHA256 is [CredentialSHA256] of the header fields before they were masked.
	CredentialSHA256 string
	// BodyLength and BodySHA256, in lower-case hex, are of the bytes that were read.
	BodyLength int64
	BodySHA256 string
	// BodyComplete reports whether the body was read to its end. It is false if it exceeds the
	// limit or if the client left.
	BodyComplete bool
}

func observed(r *http.Request, body []byte, complete bool) Request {
	sum := sha256.Sum256(body)
	return Request{
		Method: r.Method, Target: r.RequestURI, Proto: r.Proto, Host: r.Host, Header: masked(r.Header),
		CredentialSHA256: CredentialSHA256(r.Header), BodyLength: int64(len(body)), BodySHA256: hex.EncodeToString(sum[:]), BodyComplete: complete,
	}
}

// CredentialSHA256 hashes the credential fields of h, in lower-case hex, so that the sender of a
// request can tell whether they arrived untouched. It is empty if there are none.
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

// credential is the kind of a credential.
type credential string

const (
	credentialNone   credential = "none"
	credentialOAuth  credential = "oauth"
	credentialAPIKey credential = "api_key"
	credentialOther  credential = "other"
)

// credentialOf returns the kind of credential that a request has. SDKs send a key in x-api-key or
// as a bearer.
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
