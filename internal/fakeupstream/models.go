package fakeupstream

// modelInfo is a model as /v1/models lists it.
type modelInfo struct {
	Type        string `json:"type"`
	ID          string `json:"id"`
	DisplayName string `json:"display_name"`
	CreatedAt   string `json:"created_at"`
}

// page is the API's envelope of a list.
type page[T any] struct {
	Data    []T    `json:"data"`
	FirstID string `json:"first_id"`
	HasMore bool   `json:"has_more"`
	LastID  string `json:"last_id"`
}

func models() []modelInfo {
	return []modelInfo{
		{"model", "claude-opus-4-1-20250805", "Claude Opus 4.1", "2025-08-05T00:00:00Z"},
		{"model", "claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "2025-09-29T00:00:00Z"},
		{"model", "claude-haiku-4-5-20251001", "Claude Haiku 4.5", "2025-10-01T00:00:00Z"},
	}
}

// lookUpModel answers with the model of that id, or with all for "".
func lookUpModel(id string) answer {
	all := models()
	if id == "" {
		return respond(page[modelInfo]{Data: all, FirstID: all[0].ID, LastID: all[len(all)-1].ID})
	}
	for _, model := range all {
		if model.ID == id {
			return respond(model)
		}
	}
	return notFound("model: " + id).write
}
