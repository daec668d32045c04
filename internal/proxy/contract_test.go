package proxy

import (
	"net/http"
	"slices"
	"testing"
)

// contractTypes are the values of error.type that each status may have: the contract between Claude
// Code and gateways has most, docs/compatibility.md the others. Clients act on a 401 (log in
// again), a 429 and a 529 (the account's limits, the API's load), so none of our errors has these.
func contractTypes() map[int][]string {
	return map[int][]string{
		http.StatusBadRequest:                  {"invalid_request_error"},
		http.StatusForbidden:                   {"permission_error"},
		http.StatusRequestTimeout:              {"timeout_error"},
		http.StatusRequestEntityTooLarge:       {"request_too_large"},
		http.StatusExpectationFailed:           {"invalid_request_error"},
		http.StatusRequestHeaderFieldsTooLarge: {"invalid_request_error"},
		http.StatusInternalServerError:         {"api_error"},
		http.StatusNotImplemented:              {"not_supported"},
		http.StatusBadGateway:                  {"api_error"},
		http.StatusServiceUnavailable:          {"api_error", "overloaded_error"},
		http.StatusGatewayTimeout:              {"api_error", "timeout_error"},
		http.StatusHTTPVersionNotSupported:     {"invalid_request_error"},
	}
}

func TestErrorsFollowGatewayContract(t *testing.T) {
	t.Parallel()
	for code, row := range codeTable {
		if !slices.Contains(contractTypes()[row.status], row.apiType) {
			t.Errorf("%s is a %d of type %q", code, row.status, row.apiType)
		}
		again := row.status >= 500 && row.status != http.StatusNotImplemented || row.status == http.StatusRequestTimeout
		if row.final == again {
			t.Errorf("%s, a %d, says that a retry is pointless: %t", code, row.status, row.final)
		}
	}
	notOurs := []int{http.StatusOK, http.StatusUnauthorized, http.StatusTooManyRequests, statusOverloaded, statusClientGone}
	for status := range contractTypes() {
		if !slices.Contains(usualStatuses(), status) {
			t.Errorf("no series shows the first %d", status)
		}
	}
	for _, status := range usualStatuses() { // net/http gives some requests another status than their code has
		if contractTypes()[status] == nil && !slices.Contains(notOurs, status) {
			t.Errorf("the contract has no %d", status)
		}
	}
}
