package proxy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"oauth-proxyd/internal/access"
)

// Code names a response of our own, in its body, in the log and in metrics.
type Code string

// The codes; codeTable has what each means, and the manual what to do about it.
const (
	CodeInvalidRequest         Code = "invalid_request"
	CodeLoopDetected           Code = "loop_detected"
	CodeAccessDenied           Code = "access_denied"
	CodeBrowserRefused         Code = "browser_refused"
	CodeClientIdleTimeout      Code = "client_idle_timeout"
	CodeRequestTooLarge        Code = "request_too_large"
	CodeHeadersTooLarge        Code = "headers_too_large"
	CodeUpgradeRefused         Code = "upgrade_refused"
	CodeUpstreamConnect        Code = "upstream_connect"
	CodeUpstreamProtocol       Code = "upstream_protocol"
	CodeUpstreamInterrupted    Code = "upstream_interrupted"
	CodeUpstreamIdleTimeout    Code = "upstream_idle_timeout"
	CodeOverloaded             Code = "overloaded"
	CodeDraining               Code = "draining"
	CodeTailnetUnavailable     Code = "tailnet_unavailable"
	CodeCancellingTooFast      Code = "cancelling_too_fast"
	CodeUpstreamConnectTimeout Code = "upstream_connect_timeout"
	CodeUpstreamHeaderTimeout  Code = "upstream_header_timeout"
	CodeInternal               Code = "internal"
)

// The causes of a cut response, as a label of a metric. "": the code never cuts a response.
const (
	cutByClient   = "client"
	cutByUpstream = "upstream"
	cutByTimeout  = "timeout"
	cutByDrain    = "drain"
	cutByInternal = "internal"
)

type codeMeaning struct {
	verdict verdict
	status  int    // of the response
	apiType string // error.type, one of the API's own
	final   bool   // a retry is pointless: x-should-retry says so
	metric  string // error_type of proxy_upstream_errors_total; "": not counted there
	cutBy   string // by of proxy_responses_cut_total
	token   string // error= of Proxy-Status (RFC 9209 §2.3)
	fix     string // for an operator; "": the log says more
}

// codeTable has a row for each code. It is the only place that knows their meanings.
var codeTable = map[Code]codeMeaning{
	CodeInvalidRequest:         {doubtful, http.StatusBadRequest, "invalid_request_error", true, "invalid_request", cutByClient, "http_request_error", ""},
	CodeLoopDetected:           {breakdown, http.StatusBadRequest, "invalid_request_error", true, "invalid_request", "", "proxy_loop_detected", "set proxy.upstream_url to the API"},
	CodeAccessDenied:           {stranger, http.StatusForbidden, "permission_error", true, "", "", "http_request_denied", ""},
	CodeBrowserRefused:         {stranger, http.StatusForbidden, "permission_error", true, "", "", "http_request_denied", ""},
	CodeClientIdleTimeout:      {doubtful, http.StatusRequestTimeout, "timeout_error", false, "invalid_request", cutByClient, "http_request_error", "raise proxy.idle_timeout if uploads may pause for longer"},
	CodeRequestTooLarge:        {doubtful, http.StatusRequestEntityTooLarge, "request_too_large", true, "invalid_request", cutByClient, "http_request_error", "raise proxy.max_request_body if requests may be larger"},
	CodeHeadersTooLarge:        {doubtful, http.StatusRequestHeaderFieldsTooLarge, "invalid_request_error", true, "invalid_request", "", "http_request_error", ""},
	CodeUpgradeRefused:         {doubtful, http.StatusNotImplemented, "not_supported", true, "invalid_request", "", "http_request_error", ""},
	CodeUpstreamConnect:        {breakdown, http.StatusBadGateway, "api_error", false, "connection", "", "destination_unavailable", runDoctor},
	CodeUpstreamProtocol:       {breakdown, http.StatusBadGateway, "api_error", false, "connection", cutByUpstream, "http_protocol_error", runDoctor},
	CodeUpstreamInterrupted:    {breakdown, http.StatusBadGateway, "api_error", false, "response_read", cutByUpstream, "http_response_incomplete", runDoctor},
	CodeUpstreamIdleTimeout:    {breakdown, http.StatusGatewayTimeout, "api_error", false, "response_read", cutByTimeout, "http_response_timeout", "raise proxy.idle_timeout if the upstream may be silent for longer"},
	CodeOverloaded:             {refusal, http.StatusServiceUnavailable, "overloaded_error", false, "", "", "connection_limit_reached", "see who has the slots with `oauth-proxyd requests`, and raise proxy.max_connections or proxy.queue_limit"},
	CodeDraining:               {refusal, http.StatusServiceUnavailable, "api_error", false, "", cutByDrain, "proxy_internal_error", ""},
	CodeTailnetUnavailable:     {refusal, http.StatusServiceUnavailable, "api_error", false, "", "", "proxy_internal_error", "see `tailscale status` and `journalctl -u tailscaled`"},
	CodeCancellingTooFast:      {doubtful, http.StatusServiceUnavailable, "api_error", false, "", "", "http_request_denied", ""},
	CodeUpstreamConnectTimeout: {breakdown, http.StatusGatewayTimeout, "timeout_error", false, "timeout", "", "connection_timeout", runDoctor},
	CodeUpstreamHeaderTimeout:  {breakdown, http.StatusGatewayTimeout, "timeout_error", false, "timeout", cutByTimeout, "http_response_timeout", "raise proxy.response_header_timeout if responses may begin later, or proxy.idle_timeout if the upstream may pause while it accepts a body"},
	CodeInternal:               {breakdown, http.StatusInternalServerError, "api_error", false, "internal", cutByInternal, "proxy_internal_error", "report it as a bug, with the stack in the journal"},
}

// retryAfter is the Retry-After of our 503s, in seconds.
const retryAfter = "5"

// failure is an error that ends a request: with a response of our own if none has begun, and
// otherwise by cutting the response.
type failure struct {
	code    Code
	message string // for the client; contains no secret
	cause   error  // for the log; may be nil
	status  int    // of the response; 0: that of the code
}

func fail(code Code, cause error, format string, args ...any) *failure {
	return &failure{code: code, cause: cause, message: fmt.Sprintf(format, args...)}
}

func fromAccess(err error) error {
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

func (f *failure) Error() string {
	if f.cause == nil {
		return f.message
	}
	return f.message + ": " + f.cause.Error()
}

func (f *failure) Unwrap() error { return f.cause }

// body returns the failure as JSON without a final newline, in the shape of the API's errors: an
// SDK shows the message and reports our code as its errorCode. Only the message may need escapes.
func (f *failure) body(host, requestID string) []byte {
	message, err := json.Marshal("oauth-proxyd@" + host + ": " + f.message)
	if err != nil {
		panic("proxy: marshalling a string: " + err.Error())
	}
	return fmt.Appendf(nil, `{"type":"error","error":{"type":"%s","message":%s,"details":{"error_code":"%s"}},"request_id":"%s"}`,
		codeTable[f.code].apiType, message, f.code, requestID)
}

// respond writes the failure as the whole response.
func (f *failure) respond(w http.ResponseWriter, host, requestID string) (status, size int) {
	text, meaning := f.body(host, requestID), codeTable[f.code]
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Proxy-Status", "oauth-proxyd; error="+meaning.token)
	h.Set(requestIDHeader, requestID)
	if meaning.final {
		h.Set("X-Should-Retry", "false")
	}
	if meaning.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", retryAfter)
	}
	status = cmp.Or(f.status, meaning.status)
	w.WriteHeader(status)
	size, _ = w.Write(text) // the context tells of a client that left
	return status, size
}

// Refuse responds to a request that is not sent to the upstream, with an error of [Proxy.Judge] or
// [Refusal].
func (p *Proxy) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = fail(CodeInternal, err, "internal error; the journal has the details")
	}
	w.Header().Set("Connection", "close")
	f.respond(w, p.Host, requestID(r.Header))
}

// Refusal returns an error for [Proxy.Refuse].
func Refusal(code Code, message string) error { return fail(code, nil, "%s", message) }
