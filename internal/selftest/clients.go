package selftest

import (
	"maps"
	"net/http"
)

const (
	// oauthToken and apiKey have the form of credentials, and open nothing.
	oauthToken = "sk-ant-oat01-selftest-not-a-token"
	apiKey     = "sk-ant-api03-selftest-not-a-key"
	oauthBeta  = "oauth-2025-04-20"
	// claudeBeta is a list of features such as Claude Code sends. The API refuses claudeBody
	// without the third.
	claudeBeta = "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27," +
		"fine-grained-tool-streaming-2025-05-14"
	claudeBody = `{"model":"claude-sonnet-4-5-20250929","stream":true,"max_tokens":64,"context_management":{"edits":[]},` +
		`"messages":[{"role":"user","content":"hi"}]}`
	messageBody = `{"model":"claude-sonnet-4-5-20250929","max_tokens":64,"messages":[{"role":"user","content":"hi"}]}`
	streamBody  = `{"model":"claude-sonnet-4-5-20250929","stream":true,"max_tokens":64,"messages":[{"role":"user","content":"hi"}]}`
)

// typicalClient is a kind of client, with one of its requests.
type typicalClient struct {
	name           string
	oauth          bool // it sends an OAuth token, without the feature that the API requires with it
	method, target string
	header         http.Header
	body           string
}

// clients lists the kinds of clients between which header rules can distinguish.
func clients() []typicalClient {
	return []typicalClient{
		{
			"Claude Code with an OAuth token and its own beta list", true,
			http.MethodPost, "/v1/messages?beta=true", claudeCode(), claudeBody,
		},
		{
			"SDK with an OAuth token as authToken", true,
			http.MethodPost, "/v1/messages", sdk("Authorization", "Bearer "+oauthToken), streamBody,
		},
		{
			"SDK with an API key as a bearer", false,
			http.MethodPost, "/v1/messages", sdk("Authorization", "Bearer "+apiKey), messageBody,
		},
		{
			"SDK of an older major with an API key", false,
			http.MethodPost, "/v1/messages", olderSDK(), messageBody,
		},
		{
			"curl with an API key", false, http.MethodGet, "/v1/models",
			http.Header{
				"Accept": {"*/*"}, "User-Agent": {"curl/8.14.1"},
				"Anthropic-Version": {"2023-06-01"}, "X-Api-Key": {apiKey},
			},
			"",
		},
	}
}

func claudeCode() http.Header {
	h := sdk("Authorization", "Bearer "+oauthToken)
	maps.Copy(h, http.Header{
		"Anthropic-Beta": {claudeBeta},
		"User-Agent":     {"claude-cli/2.1.332 (external, cli)"},
		"X-App":          {"cli"},
	})
	return h
}

func sdk(credential, value string) http.Header {
	return http.Header{
		credential:          {value},
		"Accept":            {"application/json"},
		"Accept-Encoding":   {"gzip, deflate, br, zstd"},
		"Anthropic-Version": {"2026-10-21"},
		"Connection":        {"keep-alive"},
		"Content-Type":      {"application/json"},
		"User-Agent":        {"Anthropic/JS 1.14.0"},
		"X-Stainless-Lang":  {"js"},
	}
}

func olderSDK() http.Header {
	h := sdk("X-Api-Key", apiKey)
	h.Set("Anthropic-Version", "2023-06-01")
	h.Set("User-Agent", "Anthropic/JS 0.70.0")
	return h
}
