package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

// ask is an ordinary request to a model.
func ask(model string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model:     model,
		MaxTokens: 1024,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Grüß Gott, <world> & \"all\"!"))},
	}
}

// askWithTool lets the model call one.
func askWithTool(model string) anthropic.MessageNewParams {
	params := ask(model)
	params.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{
		Name:        "take_note",
		InputSchema: anthropic.ToolInputSchemaParam{Properties: map[string]any{"note": map[string]string{"type": "string"}}},
	}}}
	return params
}

// message asks for an answer in one piece.
func message(model string, opts ...option.RequestOption) goCase {
	return func(ctx context.Context, c anthropic.Client, r *report) {
		m, err := c.Messages.New(ctx, ask(model), opts...)
		if err != nil {
			r.failure(err)
			return
		}
		r.add("message %s", m.RawJSON())
	}
}

// stream asks for events.
func stream(params anthropic.MessageNewParams) goCase {
	return func(ctx context.Context, c anthropic.Client, r *report) { r.stream(ctx, c, params) }
}

// stream notes every event and what they add up to.
func (r *report) stream(ctx context.Context, c anthropic.Client, params anthropic.MessageNewParams) anthropic.Message {
	events := c.Messages.NewStreaming(ctx, params)
	defer events.Close()
	var whole anthropic.Message
	for events.Next() {
		r.add("event %s", events.Current().RawJSON())
		if err := whole.Accumulate(events.Current()); err != nil {
			r.add("does not fit: %v", err)
		}
	}
	for _, block := range whole.Content {
		r.add("block %s text %q tool %q input %s", block.Type, block.Text, block.Name, block.Input)
	}
	r.add("stopped by %q after %d tokens", whole.StopReason, whole.Usage.OutputTokens)
	if err := events.Err(); err != nil {
		r.failure(err)
	}
	return whole
}

// useTool plays a conversation to its end: the model calls a tool, and gets its
// result.
func useTool(ctx context.Context, c anthropic.Client, r *report) {
	params := askWithTool("claude-sonnet-4-5")
	call := r.stream(ctx, c, params)
	params.Messages = append(params.Messages, call.ToParam())
	for _, block := range call.Content {
		if block.Type == "tool_use" {
			params.Messages = append(params.Messages, anthropic.NewUserMessage(anthropic.NewToolResultBlock(block.ID, "noted", false)))
		}
	}
	r.stream(ctx, c, params)
}

func countTokens(ctx context.Context, c anthropic.Client, r *report) {
	params := ask("claude-sonnet-4-5")
	count, err := c.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: params.Model, Messages: params.Messages})
	if err != nil {
		r.failure(err)
		return
	}
	r.add("count %s", count.RawJSON())
}

// lookUpModels lists them all, one, and one that is not there and whose name has
// to be escaped.
func lookUpModels(ctx context.Context, c anthropic.Client, r *report) {
	all := c.Models.ListAutoPaging(ctx, anthropic.ModelListParams{Limit: anthropic.Int(2)})
	for all.Next() {
		r.add("listed %s", all.Current().RawJSON())
	}
	r.failure(all.Err())
	one, err := c.Models.Get(ctx, "claude-haiku-4-5-20251001", anthropic.ModelGetParams{})
	r.failure(err)
	if one != nil {
		r.add("got %s", one.RawJSON())
	}
	_, err = c.Models.Get(ctx, "ä/b c?;{d}", anthropic.ModelGetParams{})
	r.failure(err)
}

// uploadFile sends more than a proxy would buffer, and looks it up.
func uploadFile(ctx context.Context, c anthropic.Client, r *report) {
	const size = 3 << 20
	content := bytes.NewReader(bytes.Repeat([]byte("\x00\r\n\xffupload"), size/10))
	file, err := c.Beta.Files.Upload(ctx, anthropic.BetaFileUploadParams{
		File:  anthropic.File(content, "a \"note\".bin", "application/x-note"),
		Betas: []anthropic.AnthropicBeta{anthropic.AnthropicBetaFilesAPI2025_04_14},
	})
	if err != nil {
		r.failure(err)
		return
	}
	untimed := func(raw string) string {
		return strings.ReplaceAll(raw, file.CreatedAt.UTC().Format(time.RFC3339), "NOW")
	}
	r.add("uploaded %s", untimed(file.RawJSON()))
	again, err := c.Beta.Files.GetMetadata(ctx, file.ID, anthropic.BetaFileGetMetadataParams{})
	r.failure(err)
	if again != nil {
		r.add("looked up %s", untimed(again.RawJSON()))
	}
	all := c.Beta.Files.ListAutoPaging(ctx, anthropic.BetaFileListParams{})
	for all.Next() {
		r.add("listed %s", untimed(all.Current().RawJSON()))
	}
	r.failure(all.Err())
}

// failure notes an error, with all that the SDK knows of it.
func (r *report) failure(err error) {
	if err == nil {
		return
	}
	r.add("failed: %v", err)
	if refused, ok := errors.AsType[*anthropic.Error](err); ok {
		r.add("  status %d, type %q, request id %q, body %s", refused.StatusCode, refused.Type(), refused.RequestID, refused.RawJSON())
	}
}
