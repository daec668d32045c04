package sdk_test

import (
	"bytes"
	"context"
	"strings"
)

// goCase uses the SDK and notes what it got.
type goCase func(context.Context, goClient, *report)

// message asks for a response in one piece.
func message(model string) goCase {
	return func(ctx context.Context, c goClient, r *report) {
		raw, err := c.message(ctx, model)
		r.result("message", raw)
		r.failure(c, err)
	}
}

// stream asks for events.
func stream(model string) goCase {
	return func(ctx context.Context, c goClient, r *report) { r.turn(ctx, c, c.talk(model, false)) }
}

// useTool plays a conversation to its end: the model calls a tool, and gets its result.
func useTool(ctx context.Context, c goClient, r *report) {
	talk := c.talk(anyModel, true)
	r.turn(ctx, c, talk)
	r.turn(ctx, c, talk)
}

// turn notes every event of a turn and what they add up to.
func (r *report) turn(ctx context.Context, c goClient, talk goTalk) {
	turn, err := talk.next(ctx, func(_, raw string) { r.result("event", raw) })
	for _, block := range turn.blocks {
		r.add("block %s", block)
	}
	r.add("stopped by %q after %d tokens", turn.stop, turn.tokens)
	r.failure(c, err)
}

func countTokens(ctx context.Context, c goClient, r *report) {
	raw, err := c.countTokens(ctx)
	r.result("count", raw)
	r.failure(c, err)
}

// lookUpModels lists them all, one, and one that does not exist and whose name has to be escaped.
func lookUpModels(ctx context.Context, c goClient, r *report) {
	r.failure(c, c.models(ctx, func(raw string) { r.result("listed", raw) }))
	for _, id := range []string{"claude-haiku-4-5-20251001", "ä/b c?;{d}"} {
		raw, err := c.model(ctx, id)
		r.result("got", raw)
		r.failure(c, err)
	}
}

// uploadFile sends more than a proxy would buffer, and looks it up.
func uploadFile(ctx context.Context, c goClient, r *report) {
	const size = 3 << 20
	content := bytes.NewReader(bytes.Repeat([]byte("\x00\r\n\xffupload"), size/10))
	file, err := c.upload(ctx, content, "a \"note\".bin", "application/x-note")
	if err != nil {
		r.failure(c, err)
		return
	}
	untimed := func(raw string) string { return strings.ReplaceAll(raw, file.created, "NOW") }
	r.result("uploaded", untimed(file.raw))
	again, err := c.file(ctx, file.id)
	r.result("looked up", untimed(again))
	r.failure(c, err)
	r.failure(c, c.files(ctx, func(raw string) { r.result("listed", untimed(raw)) }))
}

// result notes JSON, if there is any.
func (r *report) result(what, raw string) {
	if raw != "" {
		r.add("%s %s", what, raw)
	}
}

// failure notes an error, with all that the SDK knows of it.
func (r *report) failure(c goClient, err error) {
	if err == nil {
		return
	}
	r.add("failed: %v", err)
	if e, ok := c.apiError(err); ok {
		r.add("  status %d, type %q, code %q, request id %q, body %s", e.status, e.kind, e.code, e.requestID, e.raw)
	}
}
