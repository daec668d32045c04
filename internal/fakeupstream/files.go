package fakeupstream

import (
	"io"
	"mime/multipart"
	"slices"
	"sync"
	"time"
)

// maxFiles is how many uploads are remembered; the oldest go first.
const maxFiles = 1000

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

// fileStore remembers what was uploaded, newest last.
type fileStore struct {
	mu    sync.Mutex
	files []fileInfo
}

func (s *fileStore) add(f fileInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.files) >= maxFiles {
		s.files = slices.Delete(s.files, 0, 1)
	}
	s.files = append(s.files, f)
}

// lookUp answers with the file of that id, or with all for "".
func (s *fileStore) lookUp(id string) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "" {
		list := page[fileInfo]{Data: append([]fileInfo{}, s.files...)}
		if n := len(list.Data); n > 0 {
			list.FirstID, list.LastID = list.Data[0].ID, list.Data[n-1].ID
		}
		return respond(list)
	}
	for _, f := range s.files {
		if f.ID == id {
			return respond(f)
		}
	}
	return notFound("File not found: " + id).write
}

// upload reads a multipart form (RFC 7578) to its end and keeps the size of
// the part named "file".
func (u *upstream) upload(x *exchange) answer {
	file, problem := x.readForm()
	if err := x.body.discard(maxFileBody); err != nil {
		return unreadable(err)
	}
	if refusal := u.refusal(x.r); refusal != nil {
		return refusal.write
	}
	if problem != nil {
		return problem.write
	}
	u.files.add(*file)
	return respond(*file)
}

// readForm finds the file in the form, or says what is wrong with the form.
func (x *exchange) readForm() (*fileInfo, *apiError) {
	form := x.r.WithContext(x.r.Context())
	form.Body = io.NopCloser(x.body.upTo(maxFileBody))
	parts, err := form.MultipartReader()
	if err != nil {
		return nil, invalid("Content-Type: multipart/form-data is required")
	}
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			return nil, invalid("file: Field required")
		}
		if part.FormName() == "file" {
			return x.describe(part)
		}
	}
}

func (x *exchange) describe(part *multipart.Part) (*fileInfo, *apiError) {
	size, err := io.Copy(io.Discard, part)
	if err != nil {
		return nil, invalid("file: the part is not complete")
	}
	mimeType := part.Header.Get("Content-Type")
	if mimeType == "" {
		mimeType = "application/octet-stream"
	}
	return &fileInfo{
		ID:        x.id("file"),
		Type:      "file",
		Filename:  part.FileName(),
		MimeType:  mimeType,
		SizeBytes: size,
		CreatedAt: time.Now().UTC().Format(time.RFC3339),
	}, nil
}
