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
	message, _ := json.Marshal(e.Message) // a string has a JSON form
	return fmt.Appendf(nil, `{"type":"error","error":{"type":%q,"message":%s%s},"request_id":%q}`,
		e.Type, message, details, w.Header().Get("Request-Id"))
}

// Write responds with the error.
func (e *Error) Write(w http.ResponseWriter, r *http.Request) {
	retry := e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError
	w.Header().Set("X-Should-Retry", strconv.FormatBool(retry))
	writeJSON(w, e.Status, e.JSON(w, r))
}

func invalid(message string) *Error {
	return &Error{http.StatusBadRequest, "invalid_request_error", message}
}

func unauthenticated(message string) *Error {
	return &Error{http.StatusUnauthorized, "authentication_error", message}
}

// refusal returns why the header is refused, or nil if it is accepted.
func (a *api) refusal(h http.Header) *Error {
	authorization := h.Get("Authorization")
	scheme, token, _ := strings.Cut(authorization, " ")
	switch {
	case h.Get("X-Api-Key") != "": // enough
	case authorization == "":
		return unauthenticated("x-api-key header is required")
	case !strings.EqualFold(scheme, "Bearer"):
		return unauthenticated("Invalid authorization header")
	case a.RequireOAuthBeta && strings.HasPrefix(token, "sk-ant-oat") && !hasBeta(h, "oauth-2025-04-20"):
		return unauthenticated("OAuth authentication is currently not supported.")
	}
	if h.Get("Anthropic-Version") == "" {
		return invalid("anthropic-version: header is required")
	}
	return nil
}

// hasBeta looks for a feature in the client's list, which may have several lines (RFC 9110 §5.6.1).
func hasBeta(h http.Header, feature string) bool {
	list := strings.Split(strings.Join(h["Anthropic-Beta"], ","), ",")
	return slices.ContainsFunc(list, func(s string) bool { return strings.TrimSpace(s) == feature })
}
