package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
)

// Code names a response of our own, in its body, in the log and in metrics.
type Code string

// The codes; codeTable has what each means, and the manual what to do about it.
const (
	CodeInvalidRequest      Code = "invalid_request"
	CodeLoopDetected        Code = "loop_detected"
	CodeAccessDenied        Code = "access_denied"
	CodeBrowserRefused      Code = "browser_refused"
	CodeClientIdle          Code = "client_idle_timeout"
	CodeTooLarge            Code = "request_too_large"
	CodeHeadersTooLarge     Code = "headers_too_large"
	CodeUpgradeRefused      Code = "upgrade_refused"
	CodeUpstreamConnect     Code = "upstream_connect"
	CodeUpstreamProtocol    Code = "upstream_protocol"
	CodeUpstreamInterrupted Code = "upstream_interrupted"
	CodeUpstreamIdle        Code = "upstream_idle_timeout"
	CodeOverloaded          Code = "overloaded"
	CodeDraining            Code = "draining"
	CodeTailnetUnavailable  Code = "tailnet_unavailable"
	CodeCancelling          Code = "cancelling_too_fast"
	CodeConnectTimeout      Code = "upstream_connect_timeout"
	CodeHeaderTimeout       Code = "upstream_header_timeout"
	CodeInternal            Code = "internal"
)

// codeMeaning says how a code appears in each place.
type codeMeaning struct {
	code    Code
	status  int    // of the response
	apiType string // error.type, one of the API's own
	final   bool   // a retry is pointless: x-should-retry says so
	metric  string // error_type of proxy_upstream_errors_total; "": not counted there
	cutBy   string // by of proxy_responses_cut_total; "": it never cuts a response
	token   string // error= of Proxy-Status (RFC 9209 §2.3)
}

// codeTable has a row for each code. It is the only place that knows their meanings.
func codeTable() []codeMeaning {
	const (
		invalid   = "invalid_request_error"
		api       = "api_error"
		timeout   = "timeout_error"
		malformed = "http_request_error"
		ourFault  = "proxy_internal_error"
	)
	return []codeMeaning{
		{CodeInvalidRequest, http.StatusBadRequest, invalid, true, "invalid_request", "client", malformed},
		{CodeLoopDetected, http.StatusBadRequest, invalid, true, "invalid_request", "", "proxy_loop_detected"},
		{CodeAccessDenied, http.StatusForbidden, "permission_error", true, "", "", "http_request_denied"},
		{CodeBrowserRefused, http.StatusForbidden, "permission_error", true, "", "", "http_request_denied"},
		{CodeClientIdle, http.StatusRequestTimeout, timeout, false, "invalid_request", "client", malformed},
		{CodeTooLarge, http.StatusRequestEntityTooLarge, "request_too_large", true, "invalid_request", "client", malformed},
		{CodeHeadersTooLarge, http.StatusRequestHeaderFieldsTooLarge, invalid, true, "invalid_request", "", malformed},
		{CodeUpgradeRefused, http.StatusNotImplemented, "not_supported", true, "invalid_request", "", malformed},
		{CodeUpstreamConnect, http.StatusBadGateway, api, false, "connection", "", "destination_unavailable"},
		{CodeUpstreamProtocol, http.StatusBadGateway, api, false, "connection", "upstream", "http_protocol_error"},
		{CodeUpstreamInterrupted, http.StatusBadGateway, api, false, "response_read", "upstream", "http_response_incomplete"},
		{CodeUpstreamIdle, http.StatusGatewayTimeout, api, false, "response_read", "timeout", "http_response_timeout"},
		{CodeOverloaded, http.StatusServiceUnavailable, "overloaded_error", false, "", "", "connection_limit_reached"},
		{CodeDraining, http.StatusServiceUnavailable, api, false, "", "drain", ourFault},
		{CodeTailnetUnavailable, http.StatusServiceUnavailable, api, false, "", "", ourFault},
		{CodeCancelling, http.StatusServiceUnavailable, api, false, "", "", "http_request_denied"},
		{CodeConnectTimeout, http.StatusGatewayTimeout, timeout, false, "timeout", "", "connection_timeout"},
		{CodeHeaderTimeout, http.StatusGatewayTimeout, timeout, false, "timeout", "timeout", "http_response_timeout"},
		{CodeInternal, http.StatusInternalServerError, api, false, "internal", "internal", ourFault},
	}
}

// meaning returns the code's row of codeTable.
func (c Code) meaning() codeMeaning {
	for _, row := range codeTable() {
		if row.code == c {
			return row
		}
	}
	panic("proxy: an error code without a meaning: " + string(c))
}

// retryAfter is the Retry-After of our 503s.
const retryAfter = 5 * time.Second

// failure is an error that ends a request: with a response of our own if none has begun, and
// otherwise by cutting the response.
type failure struct {
	code    Code
	message string // for the client; contains no secret
	cause   error  // for the log; may be nil
}

func fail(code Code, cause error, format string, args ...any) *failure {
	return &failure{code: code, cause: cause, message: fmt.Sprintf(format, args...)}
}

// refused turns an error of package access into a failure.
func refused(err error) error {
	r, ok := errors.AsType[*access.Refusal](err)
	switch {
	case !ok:
		return err
	case r.Unproven:
		return fail(CodeTailnetUnavailable, r.Cause, "%s", r.Message)
	default:
		return fail(CodeAccessDenied, r.Cause, "%s", r.Message)
	}
}

// Refuse responds to r with an error of [Proxy.Judge].
func (p *Proxy) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = fail(CodeInternal, err, "internal error; the journal has the details")
	}
	w.Header().Set("Connection", "close")
	f.respond(w, p.host, requestID(r.Header))
}

// Refusal returns an error for [Proxy.Refuse].
func Refusal(code Code, message string) error { return fail(code, nil, "%s", message) }

// Judge reports who sent r. Its error says why allow does not admit the sender. The request must
// have come through an [inbound.Server].
func (p *Proxy) Judge(r *http.Request, allow []config.Source) (access.Identity, error) {
	c := inbound.ConnOf(r)
	id, err := p.access.Judge(r.Context(), r.Header, &c.Access, allow, p.current.Load().Identity)
	if err == nil {
		c.Admit()
	}
	return id, refused(err)
}

// Error implements error.
func (f *failure) Error() string {
	if f.cause == nil {
		return f.message
	}
	return f.message + ": " + f.cause.Error()
}

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.cause }

// body returns the failure as JSON without a final newline, in the shape of the API's errors: an
// SDK shows the message and reports our code as its errorCode.
func (f *failure) body(host, requestID string) []byte {
	var b struct {
		Type  string `json:"type"`
		Error struct {
			Type    string `json:"type"`
			Message string `json:"message"`
			Details struct {
				ErrorCode Code `json:"error_code"`
			} `json:"details"`
		} `json:"error"`
		RequestID string `json:"request_id"`
	}
	b.Type, b.RequestID = "error", requestID
	b.Error.Type, b.Error.Message = f.code.meaning().apiType, "oauth-proxyd@"+host+": "+f.message
	b.Error.Details.ErrorCode = f.code
	text, err := json.Marshal(b)
	if err != nil {
		panic("proxy: marshalling a few strings: " + err.Error())
	}
	return text
}

// respond writes the failure as the whole response.
func (f *failure) respond(w http.ResponseWriter, host, requestID string) (status, size int) {
	text, meaning := f.body(host, requestID), f.code.meaning()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Proxy-Status", "oauth-proxyd; error="+meaning.token)
	h.Set(requestIDHeader, requestID)
	if meaning.final {
		h.Set("X-Should-Retry", "false")
	}
	if meaning.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	w.WriteHeader(meaning.status)
	size, _ = w.Write(text) // the context tells of a client that left
	return meaning.status, size
}
