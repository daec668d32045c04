package fakeupstream

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// statusOverloaded is the API's own status for an overload.
const statusOverloaded = 529

// apiError is a refusal in the API's shape. The code of its details is the kind unless it
// has one of its own.
type apiError struct {
	status  int
	kind    string
	message string
	code    string
}

// errorBody is the JSON of an error, in a response and in a stream.
type errorBody struct {
	Type      string      `json:"type"`
	Error     errorDetail `json:"error"`
	RequestID string      `json:"request_id"`
}

type errorDetail struct {
	Type    string        `json:"type"`
	Message string        `json:"message"`
	Details *errorDetails `json:"details,omitempty"` // nil before currentVersion
}

type errorDetails struct {
	ErrorCode string `json:"error_code"`
}

func (e apiError) body(x *exchange) errorBody {
	detail := errorDetail{Type: e.kind, Message: e.message}
	if x.r.Header.Get(versionHeader) == currentVersion {
		detail.Details = &errorDetails{ErrorCode: cmp.Or(e.code, e.kind)}
	}
	return errorBody{Type: "error", Error: detail, RequestID: x.requestID}
}

// write answers with the error. A 429 says when to come back.
func (e apiError) write(x *exchange) {
	h := x.w.Header()
	if e.status == http.StatusTooManyRequests {
		h.Set("Retry-After", "7")
	}
	retry := e.status == http.StatusTooManyRequests || e.status >= http.StatusInternalServerError
	h.Set("X-Should-Retry", strconv.FormatBool(retry))
	x.writeJSON(e.status, e.body(x))
}

func invalid(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, kind: "invalid_request_error", message: message}
}

func unauthenticated(message string) *apiError {
	return &apiError{status: http.StatusUnauthorized, kind: "authentication_error", message: message}
}

func notFound(message string) *apiError {
	return &apiError{status: http.StatusNotFound, kind: "not_found_error", message: message}
}

func tooLarge() *apiError {
	return &apiError{
		status: http.StatusRequestEntityTooLarge, kind: "request_too_large", message: "Request exceeds the maximum size",
	}
}

func overloaded() *apiError {
	return &apiError{status: statusOverloaded, kind: "overloaded_error", message: "Overloaded"}
}

// The versions of the API that there are. A request that names none gets what
// 2023-06-01 gives.
const (
	versionHeader   = "Anthropic-Version"
	currentVersion  = "2026-10-21"
	originalVersion = "2023-06-01"
)

// refusal judges the version and the credential, nil if they will do.
func (u *upstream) refusal(r *http.Request) *apiError {
	switch version := r.Header.Get(versionHeader); version {
	case "", currentVersion, originalVersion:
	default:
		return invalid("anthropic-version: " + strconv.Quote(version) + " is not a valid version")
	}
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
		return &apiError{
			status: http.StatusForbidden, kind: "permission_error", code: "model_access_denied",
			message: "Your account does not have permission to use this model",
		}
	case "error-404":
		return notFound("model: error-404")
	case "error-413":
		return tooLarge()
	case "error-429":
		return &apiError{
			status: http.StatusTooManyRequests, kind: "rate_limit_error",
			message: "This request would exceed your account's rate limit",
		}
	case "error-500":
		return &apiError{status: http.StatusInternalServerError, kind: "api_error", message: "Internal server error"}
	case "error-529":
		return overloaded()
	}
	return nil
}
