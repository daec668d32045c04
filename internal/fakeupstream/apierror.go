package fakeupstream

import (
	"net/http"
	"slices"
	"strings"
)

// statusOverloaded is the API's own status for an overload.
const statusOverloaded = 529

// apiError is a refusal in the API's shape.
type apiError struct {
	status  int
	kind    string
	message string
}

// errorBody is the JSON of an error, in a response and in a stream.
type errorBody struct {
	Type      string      `json:"type"`
	Error     errorDetail `json:"error"`
	RequestID string      `json:"request_id"`
}

type errorDetail struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

func (e apiError) body(x *exchange) errorBody {
	return errorBody{
		Type:      "error",
		Error:     errorDetail{Type: e.kind, Message: e.message},
		RequestID: x.requestID,
	}
}

// write answers with the error. A 429 says when to come back.
func (e apiError) write(x *exchange) {
	h := x.w.Header()
	if e.status == http.StatusTooManyRequests {
		h.Set("Retry-After", "7")
	}
	if e.status == http.StatusTooManyRequests || e.status >= http.StatusInternalServerError {
		h.Set("X-Should-Retry", "true")
	}
	x.writeJSON(e.status, e.body(x))
}

func invalid(message string) *apiError {
	return &apiError{http.StatusBadRequest, "invalid_request_error", message}
}

func unauthenticated(message string) *apiError {
	return &apiError{http.StatusUnauthorized, "authentication_error", message}
}

func notFound(message string) *apiError {
	return &apiError{http.StatusNotFound, "not_found_error", message}
}

func overloaded() *apiError {
	return &apiError{statusOverloaded, "overloaded_error", "Overloaded"}
}

// refusal judges the credential, nil if it will do.
func (u *upstream) refusal(r *http.Request) *apiError {
	switch credentialOf(r.Header) {
	case credentialNone:
		return unauthenticated("x-api-key header is required")
	case credentialOAuth:
		if u.cfg.RequireOAuthBeta && !hasBeta(r.Header, "oauth-2025-04-20") {
			return unauthenticated("OAuth authentication is currently not supported.")
		}
	case credentialOther:
		if !strings.HasPrefix(strings.ToLower(r.Header.Get("Authorization")), "bearer ") {
			return unauthenticated("Invalid authorization header")
		}
	case credentialAPIKey:
	}
	return nil
}

// hasBeta looks a feature up in the client's list, which may be spread over
// several lines.
func hasBeta(h http.Header, feature string) bool {
	return slices.Contains(listed(h, "Anthropic-Beta"), feature)
}

// directedError is the error that a model's name asks for, nil if none.
func directedError(model string) *apiError {
	switch model {
	case "error-400":
		return invalid("messages: at least one message is required")
	case "error-401":
		return unauthenticated("invalid x-api-key")
	case "error-403":
		return &apiError{http.StatusForbidden, "permission_error", "Your account does not have permission to use this model"}
	case "error-404":
		return notFound("model: error-404")
	case "error-413":
		return &apiError{http.StatusRequestEntityTooLarge, "request_too_large", "Request exceeds the maximum size"}
	case "error-429":
		return &apiError{http.StatusTooManyRequests, "rate_limit_error", "This request would exceed your account's rate limit"}
	case "error-500":
		return &apiError{http.StatusInternalServerError, "api_error", "Internal server error"}
	case "error-529":
		return overloaded()
	}
	return nil
}
