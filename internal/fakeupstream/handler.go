package fakeupstream

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

// upstream is the API: what the configuration says and what was uploaded.
type upstream struct {
	cfg   Config
	ids   atomic.Int64
	files fileStore
}

// Handler returns the API as a handler, for a test that has a server of its
// own. TLS and HTTP2 of cfg do not matter to it.
func Handler(cfg Config) http.Handler {
	api := &upstream{cfg: cfg}
	if cfg.Wrap == nil {
		return api
	}
	return cfg.Wrap(api)
}

// exchange is one request with the way to answer it.
type exchange struct {
	w         http.ResponseWriter
	r         *http.Request
	body      *body
	requestID string
	serial    int64 // makes ids that differ within a server, the same each run
	early     bool  // the answer goes first, the body is read after it
}

// answer writes the whole response of an exchange.
type answer func(*exchange)

// ServeHTTP reads the request, tells the observer, and answers.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{w: w, r: r, body: newBody(r.Body), serial: u.ids.Add(1)}
	x.requestID = x.id("req")
	x.announce()
	reply := u.receive(x)
	if x.early {
		defer u.observe(x)
	} else {
		u.observe(x)
	}
	reply(x)
}

// receive reads as much of the request as its endpoint needs and returns what
// to answer. It goes by the path as it is: a ServeMux would clean it and
// redirect, which the real API does not.
func (u *upstream) receive(x *exchange) answer {
	switch x.r.Method + " " + x.r.URL.Path {
	case "POST /v1/messages":
		return u.messages(x)
	case "POST /v1/messages/count_tokens":
		return u.countTokens(x)
	case "POST /v1/files":
		return u.upload(x)
	}
	if err := x.body.discard(maxOtherBody); err != nil {
		return unreadable(err)
	}
	return u.lookUp(x)
}

// lookUp answers what needs no body.
func (u *upstream) lookUp(x *exchange) answer {
	switch x.r.Method + " " + x.r.URL.Path {
	case "HEAD /":
		return respond(struct{}{})
	case "HEAD /api/hello", "GET /api/hello":
		return respond(greeting{Message: "hello"})
	}
	path, versioned := strings.CutPrefix(x.r.URL.Path, "/v1/")
	if !versioned || x.r.Method != http.MethodGet {
		return notFound("Not found").write
	}
	if refusal := u.refusal(x.r); refusal != nil {
		return refusal.write
	}
	switch collection, id, _ := strings.Cut(path, "/"); collection {
	case "models":
		return lookUpModel(id)
	case "files":
		return u.files.lookUp(id)
	}
	return notFound("Not found").write
}

// observe tells the observer what has been read so far.
func (u *upstream) observe(x *exchange) {
	if u.cfg.Observe == nil {
		return
	}
	u.cfg.Observe(Request{
		Method:           x.r.Method,
		Target:           x.r.RequestURI,
		Proto:            x.r.Proto,
		Host:             x.r.Host,
		Header:           masked(x.r.Header),
		CredentialSHA256: CredentialSHA256(x.r.Header),
		BodyLength:       x.body.length,
		BodySHA256:       x.body.hash(),
		BodyComplete:     x.body.complete,
		Trailer:          masked(x.r.Trailer),
	})
}

// id makes an identifier of the API's form, such as req_011… or msg_011….
func (x *exchange) id(prefix string) string {
	return fmt.Sprintf("%s_011%021d", prefix, x.serial)
}

// greeting is what /api/hello says.
type greeting struct {
	Message string `json:"message"`
}
