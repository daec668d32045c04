package labapi

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"time"
)

// lab remembers what was uploaded.
type lab struct {
	mu    sync.Mutex
	files []fileInfo
}

// fileInfo is an upload as the API describes it. The bytes are not kept.
type fileInfo struct {
	ID           string `json:"id"`
	Type         string `json:"type"`
	Filename     string `json:"filename"`
	MimeType     string `json:"mime_type"`
	SizeBytes    int64  `json:"size_bytes"`
	CreatedAt    string `json:"created_at"`
	Downloadable bool   `json:"downloadable"`
}

// respond returns a *message, a *fakeupstream.Error or a value to send as JSON; nil leaves the
// response to the API.
func (l *lab) respond(w *faultyWriter, r *http.Request, body []byte) any {
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/messages":
		return directed(w, r, body)
	case "POST /v1/messages/count_tokens":
		return countTokens(body)
	case "POST /v1/files":
		return l.upload(w, r, body)
	case "GET /v1/files":
		return l.list()
	}
	collection, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	switch {
	case r.Method == http.MethodGet && collection == "models" && id != "":
		return model(id)
	case r.Method == http.MethodGet && collection == "files":
		return l.file(id)
	}
	return nil
}

func countTokens(body []byte) any {
	var c call
	if json.Unmarshal(body, &c) != nil {
		return invalid("The request body is not valid JSON")
	}
	if e := directedError(c); e != nil {
		return e
	}
	return map[string]int{"input_tokens": len(body)/4 + 1}
}

func model(id string) any {
	if !strings.HasPrefix(id, "claude-") {
		return notFound("model: " + id)
	}
	return map[string]string{"type": "model", "id": id, "display_name": id, "created_at": "2025-10-01T00:00:00Z"}
}

func (l *lab) list() any {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, last := "", ""
	if n := len(l.files); n > 0 {
		first, last = l.files[0].ID, l.files[n-1].ID
	}
	return map[string]any{"data": append([]fileInfo{}, l.files...), "first_id": first, "has_more": false, "last_id": last}
}

func (l *lab) file(id string) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		if f.ID == id {
			return f
		}
	}
	return notFound("File not found: " + id)
}

// upload reads a multipart form (RFC 7578) and keeps the size of the part named "file".
func (l *lab) upload(w http.ResponseWriter, r *http.Request, body []byte) any {
	form := r.WithContext(r.Context())
	form.Body = io.NopCloser(bytes.NewReader(body))
	parts, err := form.MultipartReader()
	if err != nil {
		return invalid("Content-Type: multipart/form-data is required")
	}
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			return invalid("file: Field required")
		}
		if part.FormName() == "file" {
			return l.add(id(w, "file"), part)
		}
	}
}

func (l *lab) add(id string, part *multipart.Part) any {
	size, err := io.Copy(io.Discard, part)
	if err != nil {
		return invalid("file: the part is not complete")
	}
	mimeType := part.Header.Get("Content-Type")
	if mimeType == "" {
		mimeType = "application/octet-stream"
	}
	f := fileInfo{
		ID: id, Type: "file", Filename: part.FileName(), MimeType: mimeType, SizeBytes: size,
		CreatedAt: time.Now().UTC().Format(time.RFC3339),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = append(l.files, f)
	return f
}
