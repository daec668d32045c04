package fakeupstream

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Error is a refusal in the API's shape.
type Error struct {
	Status  int
	Type    string
	Message string
}

// JSON returns the body of the error in the response to r, or in an event of its stream.
func (e *Error) JSON(w http.ResponseWriter, r *http.Request) json.RawMessage {
	details := ""
	if r.Header.Get("Anthropic-Version") == "2026-10-21" { // 2023-06-01 has none
		details = fmt.Sprintf(`,"details":{"error_code":%q}`, e.Type)
	}
	return fmt.Appendf(nil, `{"type":"error","error":{"type":%q,"message":%s%s},"request_id":%q}`,
		e.Type, mustMarshal(e.Message), details, w.Header().Get("Request-Id"))
}

func (e *Error) write(w http.ResponseWriter, r *http.Request) {
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

// refusal returns why the header is refused, or nil if it is accepted.
func (a *api) refusal(h http.Header) *Error {
	authorization := h.Get("Authorization")
	scheme, token, _ := strings.Cut(authorization, " ")
	switch {
	case h.Get("X-Api-Key") != "": // enough
	case authorization == "":
		return Unauthenticated("x-api-key header is required")
	case !strings.EqualFold(scheme, "Bearer"):
		return Unauthenticated("Invalid authorization header")
	case a.RequireOAuthBeta && strings.HasPrefix(token, "sk-ant-oat") && !hasBeta(h, "oauth-2025-04-20"):
		return Unauthenticated("OAuth authentication is currently not supported.")
	}
	if a.Extend == nil && h.Get("Anthropic-Version") == "" { // clients of labs may leave it out
		return Invalid("anthropic-version: header is required")
	}
	return nil
}

// hasBeta looks for a feature in the client's list, which may have several lines (RFC 9110 §5.6.1).
func hasBeta(h http.Header, feature string) bool {
	list := strings.Split(strings.Join(h["Anthropic-Beta"], ","), ",")
	return slices.ContainsFunc(list, func(s string) bool { return strings.TrimSpace(s) == feature })
}
