package selftest

import (
	"maps"
	"net/http"
)

const (
	// oauthToken and apiKey have the form of credentials, and open nothing.
	oauthToken = "sk-ant-oat01-selftest-not-a-token"
	apiKey     = "sk-ant-api03-selftest-not-a-key"
	// claudeBeta is a list of features such as Claude Code sends. The API refuses claudeBody
	// without the third.
	claudeBeta = "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27," +
		"fine-grained-tool-streaming-2025-05-14"
	claudeBody = `{"model":"claude-sonnet-4-5-20250929","stream":true,"max_tokens":64,"context_management":{"edits":[]},` +
		`"messages":[{"role":"user","content":"hi"}]}`
	messageBody = `{"model":"claude-sonnet-4-5-20250929","max_tokens":64,"messages":[{"role":"user","content":"hi"}]}`
	streamBody  = `{"model":"claude-sonnet-4-5-20250929","stream":true,"max_tokens":64,"messages":[{"role":"user","content":"hi"}]}`
)

// clients lists the kinds of clients between which header rules can distinguish, with a request of
// each. An OAuth token comes without the feature that the API requires with it.
func clients() []Client {
	return []Client{
		{
			Name: "Claude Code with an OAuth token and its own beta list", OAuth: true,
			Method: http.MethodPost, Target: "/v1/messages?beta=true", header: claudeCode(), body: claudeBody,
		},
		{
			Name: "SDK with an OAuth token as authToken", OAuth: true,
			Method: http.MethodPost, Target: "/v1/messages", header: sdk(oauthToken), body: streamBody,
		},
		{
			Name:   "SDK with an API key as a bearer",
			Method: http.MethodPost, Target: "/v1/messages", header: sdk(apiKey), body: messageBody,
		},
		{
			Name: "curl with an API key", Method: http.MethodGet, Target: "/v1/models",
			header: http.Header{
				"Accept": {"*/*"}, "User-Agent": {"curl/8.14.1"},
				"Anthropic-Version": {"2023-06-01"}, "X-Api-Key": {apiKey},
			},
		},
	}
}

func claudeCode() http.Header {
	h := sdk(oauthToken)
	maps.Copy(h, http.Header{
		"Anthropic-Beta": {claudeBeta},
		"User-Agent":     {"claude-cli/2.1.332 (external, cli)"},
		"X-App":          {"cli"},
	})
	return h
}

func sdk(token string) http.Header {
	return http.Header{
		"Authorization":     {"Bearer " + token},
		"Accept":            {"application/json"},
		"Accept-Encoding":   {"gzip, deflate, br, zstd"},
		"Anthropic-Version": {"2026-10-21"},
		"Connection":        {"keep-alive"},
		"Content-Type":      {"application/json"},
		"User-Agent":        {"Anthropic/JS 1.14.0"},
		"X-Stainless-Lang":  {"js"},
	}
}
