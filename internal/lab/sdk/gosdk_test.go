package sdk_test

import (
	"context"
	"io"
	"net/http"
)

// goSDK is one major version of the Go SDK. The cases are written once, in terms of it.
type goSDK struct {
	name      string
	connect   func(goSettings) goClient
	signature []string // what its requests look like to the API
}

// goSDKs are today's major and the one before it, which many programs still use.
func goSDKs() []goSDK {
	return []goSDK{
		{"v2", connectGo2, []string{`Anthropic-Version: "2026-10-21"`, `Authorization: "[api_key]"`}},
		{"v1", connectGo1, []string{`Anthropic-Version: "2023-06-01"`, `X-Api-Key: "[api_key]"`}},
	}
}

// goSettings are the options that an application gives to the SDK.
type goSettings struct {
	base       string
	http       *http.Client
	credential goCredential
	retries    int
	betas      string // anthropic-beta of the application's own
	middleware func(*http.Request, goNext) (*http.Response, error)
}

// goNext sends a request on from a middleware of the SDK.
type goNext = func(*http.Request) (*http.Response, error)

// goCredential is an API key or a bearer token.
type goCredential struct{ key, token string }

// goClient is what the cases need of the SDK. What it returns is JSON as the SDK received it.
type goClient interface {
	message(ctx context.Context, model string) (string, error)
	talk(model string, withTool bool) goTalk
	countTokens(ctx context.Context) (string, error)

	models(ctx context.Context, each func(raw string)) error
	model(ctx context.Context, id string) (string, error)

	upload(ctx context.Context, content io.Reader, name, mediaType string) (goFile, error)
	file(ctx context.Context, id string) (string, error)
	files(ctx context.Context, each func(raw string)) error

	// apiError is what the SDK knows of an error of the API, if err is one.
	apiError(err error) (goError, bool)
}

// goTalk is a conversation whose responses are streamed.
type goTalk interface {
	// next streams the model's turn, and hands on each event. A tool that the model calls has its
	// result in the following turn.
	next(ctx context.Context, each func(kind, raw string)) (goTurn, error)
}

// goTurn is what the events of a turn add up to.
type goTurn struct {
	blocks []string
	stop   string
	tokens int64
}

// goFile is an uploaded file.
type goFile struct{ id, created, raw string }

// goError is an error of the API.
type goError struct {
	status                int
	kind, code, requestID string
	raw                   string
}

// rawOf is the JSON of a result.
func rawOf[T interface{ RawJSON() string }](result T, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return result.RawJSON(), nil
}

// rawOfEach hands on the JSON of each item of a list.
func rawOfEach[T interface{ RawJSON() string }](list interface {
	Next() bool
	Current() T
	Err() error
}, each func(raw string),
) error {
	for list.Next() {
		each(list.Current().RawJSON())
	}
	return list.Err()
}

// greeting is what the cases say to the model, anyModel one that responds as usual.
const (
	greeting = "Grüß Gott, <world> & \"all\"!"
	anyModel = "claude-sonnet-4-5"
)
