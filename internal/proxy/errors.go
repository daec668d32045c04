package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Code names an answer of our own, in its body, in the log and in metrics.
type Code string

// The codes; the manual page lists what to do about each.
const (
	CodeInvalidRequest      Code = "invalid_request"
	CodeAccessDenied        Code = "access_denied"
	CodeClientIdle          Code = "client_idle_timeout"
	CodeTooLarge            Code = "request_too_large"
	CodeUpgradeRefused      Code = "upgrade_refused"
	CodeUpstreamConnect     Code = "upstream_connect"
	CodeUpstreamProtocol    Code = "upstream_protocol"
	CodeUpstreamInterrupted Code = "upstream_interrupted"
	CodeUpstreamIdle        Code = "upstream_idle_timeout"
	CodeOverloaded          Code = "overloaded"
	CodeDraining            Code = "draining"
	CodeTailnetUnavailable  Code = "tailnet_unavailable"
	CodeConnectTimeout      Code = "upstream_connect_timeout"
	CodeHeaderTimeout       Code = "upstream_header_timeout"
	CodeInternal            Code = "internal"
)

// codes lists all of them, so that each metric exists from the start.
func codes() []Code {
	return []Code{
		CodeInvalidRequest, CodeAccessDenied, CodeClientIdle, CodeTooLarge, CodeUpgradeRefused,
		CodeUpstreamConnect, CodeUpstreamProtocol, CodeUpstreamInterrupted, CodeUpstreamIdle,
		CodeOverloaded, CodeDraining, CodeTailnetUnavailable, CodeConnectTimeout,
		CodeHeaderTimeout, CodeInternal,
	}
}

// retryAfter is what a client is asked to wait when the answer is a 503.
const retryAfter = 5 * time.Second

// failure ends a request: with an answer of ours where none has begun, with a
// cut where one has.
type failure struct {
	code    Code
	message string // for the client; names no secret
	cause   error  // for the log; may be nil
}

func fail(code Code, cause error, format string, args ...any) *failure {
	return &failure{code: code, cause: cause, message: fmt.Sprintf(format, args...)}
}

// Error implements error.
func (f *failure) Error() string {
	if f.cause == nil {
		return f.message
	}
	return f.message + ": " + f.cause.Error()
}

// Unwrap gives the cause.
func (f *failure) Unwrap() error { return f.cause }

// status is the HTTP status of the answer.
func (c Code) status() int {
	switch c {
	case CodeInvalidRequest:
		return http.StatusBadRequest
	case CodeAccessDenied:
		return http.StatusForbidden
	case CodeClientIdle:
		return http.StatusRequestTimeout
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeUpgradeRefused:
		return http.StatusNotImplemented
	case CodeUpstreamConnect, CodeUpstreamProtocol, CodeUpstreamInterrupted:
		return http.StatusBadGateway
	case CodeOverloaded, CodeDraining, CodeTailnetUnavailable:
		return http.StatusServiceUnavailable
	case CodeConnectTimeout, CodeHeaderTimeout, CodeUpstreamIdle:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// errorType is the label of proxy_upstream_errors_total, or "" for what is
// nobody's fault but the operator's choice.
func (c Code) errorType() string {
	switch c {
	case CodeInvalidRequest, CodeClientIdle, CodeTooLarge, CodeUpgradeRefused:
		return "invalid_request"
	case CodeUpstreamConnect, CodeUpstreamProtocol:
		return "connection"
	case CodeUpstreamInterrupted, CodeUpstreamIdle:
		return "response_read"
	case CodeConnectTimeout, CodeHeaderTimeout:
		return "timeout"
	case CodeInternal:
		return "internal"
	default:
		return ""
	}
}

// proxyStatus is the error token of RFC 9209 §2.3.
func (c Code) proxyStatus() string {
	switch c {
	case CodeInvalidRequest, CodeClientIdle, CodeTooLarge, CodeUpgradeRefused:
		return "http_request_error"
	case CodeAccessDenied:
		return "http_request_denied"
	case CodeUpstreamConnect:
		return "destination_unavailable"
	case CodeUpstreamProtocol:
		return "http_protocol_error"
	case CodeUpstreamInterrupted:
		return "http_response_incomplete"
	case CodeConnectTimeout:
		return "connection_timeout"
	case CodeHeaderTimeout, CodeUpstreamIdle:
		return "http_response_timeout"
	case CodeOverloaded:
		return "connection_limit_reached"
	default:
		return "proxy_internal_error"
	}
}

// errorBody is the shape of Anthropic's errors, with ours told apart by type and
// code, so that an SDK shows the message.
type errorBody struct {
	Type      string      `json:"type"`
	Error     errorDetail `json:"error"`
	RequestID string      `json:"request_id"`
}

type errorDetail struct {
	Type      string `json:"type"`
	Code      Code   `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
}

// body is the failure as JSON without a final newline.
func (f *failure) body(host, requestID string) []byte {
	text, err := json.Marshal(errorBody{
		Type: "error",
		Error: errorDetail{
			Type: "proxy_error", Code: f.code, RequestID: requestID,
			Message: "oauth-proxyd@" + host + ": " + f.message,
		},
		RequestID: requestID,
	})
	if err != nil {
		panic("proxy: marshalling three strings: " + err.Error())
	}
	return text
}

// answer writes the failure as the whole answer.
func (f *failure) answer(w http.ResponseWriter, host, requestID string) (status, size int) {
	text := f.body(host, requestID)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Proxy-Status", "oauth-proxyd; error="+f.code.proxyStatus())
	h.Set(requestIDHeader, requestID)
	status = f.code.status()
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	w.WriteHeader(status)
	size, _ = w.Write(text) // a client that left is seen by its context
	return status, size
}
