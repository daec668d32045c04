package fakeupstream

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The versions of the API. A request that names none gets what 2023-06-01 gives.
const (
	versionHeader   = "Anthropic-Version"
	currentVersion  = "2026-10-21"
	originalVersion = "2023-06-01"
)

// Error is a refusal in the API's shape.
type Error struct {
	Status  int
	Type    string
	Message string
	Code    string // error.details.error_code; empty: Type
}

// errorBody is the JSON of an error.
type errorBody struct {
	Type  string `json:"type"`
	Error struct {
		Type    string            `json:"type"`
		Message string            `json:"message"`
		Details map[string]string `json:"details,omitempty"` // not before currentVersion
	} `json:"error"`
	RequestID string `json:"request_id"`
}

// JSON is the body of the error in the response to r, or in an event of its stream.
func (e *Error) JSON(w http.ResponseWriter, r *http.Request) json.RawMessage {
	body := errorBody{Type: "error", RequestID: w.Header().Get("Request-Id")}
	body.Error.Type, body.Error.Message = e.Type, e.Message
	if r.Header.Get(versionHeader) == currentVersion {
		body.Error.Details = map[string]string{"error_code": cmp.Or(e.Code, e.Type)}
	}
	return mustMarshal(body)
}

// write responds with the error. A 429 says when to come back.
func (e *Error) write(w http.ResponseWriter, r *http.Request) {
	if e.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "7")
	}
	retry := e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError
	w.Header().Set("X-Should-Retry", strconv.FormatBool(retry))
	writeJSON(w, e.Status, e.JSON(w, r))
}

// Invalid is a 400.
func Invalid(message string) *Error {
	return &Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Message: message}
}

// Unauthenticated is a 401.
func Unauthenticated(message string) *Error {
	return &Error{Status: http.StatusUnauthorized, Type: "authentication_error", Message: message}
}

// NotFound is a 404.
func NotFound(message string) *Error {
	return &Error{Status: http.StatusNotFound, Type: "not_found_error", Message: message}
}

// TooLarge is a 413.
func TooLarge() *Error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Type: "request_too_large", Message: "Request exceeds the maximum size"}
}

// refusal checks version and credential. It is nil if they will do.
func (a *api) refusal(h http.Header) *Error {
	switch version := h.Get(versionHeader); version {
	case "", currentVersion, originalVersion:
	default:
		return Invalid("anthropic-version: " + strconv.Quote(version) + " is not a valid version")
	}
	switch credentialOf(h) {
	case credentialNone:
		return Unauthenticated("x-api-key header is required")
	case credentialOAuth:
		if a.RequireOAuthBeta && !hasBeta(h, "oauth-2025-04-20") {
			return Unauthenticated("OAuth authentication is currently not supported.")
		}
	case credentialOther:
		if !strings.HasPrefix(strings.ToLower(h.Get("Authorization")), "bearer ") {
			return Unauthenticated("Invalid authorization header")
		}
	}
	return nil
}

// hasBeta looks for a feature in the client's list, which may have several lines (RFC 9110 §5.6.1).
// No feature has a space in it.
func hasBeta(h http.Header, feature string) bool {
	list := strings.Join(h["Anthropic-Beta"], ",")
	return slices.Contains(strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", \t", r) }), feature)
}
