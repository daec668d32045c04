package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

// go1 is the major of the SDK before today's. Its errors have no code.
type go1 struct{ client anthropic.Client }

func connectGo1(s goSettings) goClient {
	options := []option.RequestOption{
		option.WithoutEnvironmentDefaults(),
		option.WithBaseURL(s.base),
		option.WithHTTPClient(s.http),
		option.WithMaxRetries(s.retries),
		option.WithMiddleware(s.middleware),
	}
	if s.credential.key != "" {
		options = append(options, option.WithAPIKey(s.credential.key))
	} else {
		options = append(options, option.WithAuthToken(s.credential.token))
	}
	if s.betas != "" {
		options = append(options, option.WithHeader("anthropic-beta", s.betas))
	}
	return go1{anthropic.NewClient(options...)}
}

func (go1) params(model string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model:     model,
		MaxTokens: 1024,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(greeting))},
	}
}

func (c go1) message(ctx context.Context, model string) (string, error) {
	return rawOf(c.client.Messages.New(ctx, c.params(model)))
}

func (c go1) countTokens(ctx context.Context) (string, error) {
	p := c.params(anyModel)
	return rawOf(c.client.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: p.Model, Messages: p.Messages}))
}

func (c go1) models(ctx context.Context, each func(raw string)) error {
	return rawOfEach(c.client.Models.ListAutoPaging(ctx, anthropic.ModelListParams{Limit: anthropic.Int(2)}), each)
}

func (c go1) model(ctx context.Context, id string) (string, error) {
	return rawOf(c.client.Models.Get(ctx, id, anthropic.ModelGetParams{}))
}

func (c go1) upload(ctx context.Context, content io.Reader, name, mediaType string) (goFile, error) {
	file, err := c.client.Beta.Files.Upload(ctx, anthropic.BetaFileUploadParams{
		File:  anthropic.File(content, name, mediaType),
		Betas: []anthropic.AnthropicBeta{"files-api-2025-04-14"},
	})
	if err != nil {
		return goFile{}, err
	}
	return goFile{file.ID, file.CreatedAt.UTC().Format(time.RFC3339), file.RawJSON()}, nil
}

func (c go1) file(ctx context.Context, id string) (string, error) {
	return rawOf(c.client.Beta.Files.GetMetadata(ctx, id, anthropic.BetaFileGetMetadataParams{}))
}

func (c go1) files(ctx context.Context, each func(raw string)) error {
	return rawOfEach(c.client.Beta.Files.ListAutoPaging(ctx, anthropic.BetaFileListParams{}), each)
}

func (go1) apiError(err error) (goError, bool) {
	e, ok := errors.AsType[*anthropic.Error](err)
	if !ok {
		return goError{}, false
	}
	return goError{e.StatusCode, string(e.Type()), "", e.RequestID, e.RawJSON()}, true
}

// go1Talk is a conversation by the SDK.
type go1Talk struct {
	client anthropic.Client
	params anthropic.MessageNewParams
}

func (c go1) talk(model string, withTool bool) goTalk {
	params := c.params(model)
	if withTool {
		params.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{
			Name:        "take_note",
			InputSchema: anthropic.ToolInputSchemaParam{Properties: map[string]any{"note": map[string]string{"type": "string"}}},
		}}}
	}
	return &go1Talk{c.client, params}
}

func (t *go1Talk) next(ctx context.Context, each func(kind, raw string)) (goTurn, error) {
	events := t.client.Messages.NewStreaming(ctx, t.params)
	defer events.Close()
	var whole anthropic.Message
	for events.Next() {
		each(events.Current().Type, events.Current().RawJSON())
		if err := whole.Accumulate(events.Current()); err != nil {
			return goTurn{}, fmt.Errorf("adding up the events: %w", err)
		}
	}
	return t.end(whole), events.Err()
}

// end adds the turn to the conversation, and the result of a tool that was called in it.
func (t *go1Talk) end(whole anthropic.Message) goTurn {
	turn := goTurn{stop: string(whole.StopReason), tokens: whole.Usage.OutputTokens}
	t.params.Messages = append(t.params.Messages, whole.ToParam())
	for _, b := range whole.Content {
		turn.blocks = append(turn.blocks, fmt.Sprintf("%s text %q tool %q input %s", b.Type, b.Text, b.Name, b.Input))
		if b.Type == "tool_use" {
			result := anthropic.NewToolResultBlock(b.ID, "noted", false)
			t.params.Messages = append(t.params.Messages, anthropic.NewUserMessage(result))
		}
	}
	return turn
}
