package credential

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// refusalAge is how long Roam's refusal of a credential is taken as its answer to every other call: long enough that a dead
// key costs two calls a minute, short enough that one that was mended is noticed.
const refusalAge = 30 * time.Second

// refusalSize bounds what is kept of a refusal. Roam's is a line of JSON.
const refusalSize = 16 << 10

// refusal is Roam's last 401 to a credential.
type refusal struct {
	secret Secret // that was refused
	code   string // Roam's own, where there is one
	status string
	header http.Header
	body   []byte

	mu   sync.Mutex // guards next
	next time.Time  // when one call may ask again
}

// refuse makes a refusal of a 401, whose body can be read afterwards as before.
func refuse(res *http.Response, secret Secret) (*refusal, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, refusalSize))
	if err != nil {
		return nil, err
	}
	r := &refusal{secret: secret, status: res.Status, header: res.Header.Clone(), body: body, next: time.Now().Add(refusalAge)}
	var told struct{ Error string }
	if json.Unmarshal(body, &told) == nil {
		r.code = told.Error
	}
	res.Body = &refusedBody{io.MultiReader(bytes.NewReader(body), res.Body), res.Body, r}
	return r, nil
}

// refusedBody is the body of a 401, which knows what was refused.
type refusedBody struct {
	io.Reader
	io.Closer
	refusal *refusal
}

// aboutToken tells whether the credential as such was refused. A method that a good token may not use can have a code of its
// own; v0 has sentences instead of codes, and what is no JSON at all is believed to mean what a 401 means.
func (r *refusal) aboutToken() bool {
	switch r.code {
	case "insufficient_scope", "missing_scope":
		return false
	}
	return true
}

// revoked tells that no other token of the same grant will do.
func (r *refusal) revoked() bool { return r.code == "token_revoked" }

// due lets one call through in every refusalAge, to ask whether Roam still refuses.
func (r *refusal) due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Before(r.next) {
		return false
	}
	r.next = now.Add(refusalAge)
	return true
}

// answer is the refusal as an answer to req.
func (r *refusal) answer(req *http.Request) *http.Response {
	h := r.header.Clone()
	h.Set("Content-Length", strconv.Itoa(len(r.body)))
	res := &http.Response{
		Status: r.status, StatusCode: http.StatusUnauthorized, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(r.body)), ContentLength: int64(len(r.body)), Request: req,
	}
	if req.Method == http.MethodHead {
		res.Body = http.NoBody
	}
	return res
}
