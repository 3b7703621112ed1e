package credential

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"roamproxy/proxy/httpbody"
)

// refusalAge is how long a credential counts as refused before roamproxy asks again, and the least time between two such
// questions: a dead key costs two calls a minute, and one that was repaired is noticed after half a minute.
const refusalAge = 30 * time.Second

// refusalSize bounds what is kept of a 401. Roam's is a line of JSON.
const refusalSize = 16 << 10

// refusal is a 401 that Roam gave to a secret.
type refusal struct {
	secret Secret
	code   string // Roam's own, where there is one
	route  string
}

// refuse makes a refusal of a 401, whose body can be read afterwards as before.
func refuse(res *http.Response, secret Secret, route string) (*refusal, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, refusalSize))
	if err != nil {
		return nil, err
	}
	r := &refusal{secret: secret, route: route}
	var answer struct{ Error string }
	if json.Unmarshal(body, &answer) == nil {
		r.code = answer.Error
	}
	res.Body = &refusedBody{httpbody.Unread(body, res.Body, nil), r}
	return r, nil
}

// refusedBody is the body of a 401, which knows what was refused.
type refusedBody struct {
	io.ReadCloser
	refusal *refusal
}

// isAboutToken reports whether the credential as such was refused. A method that a good token may not use can have a code of its
// own; v0 has sentences instead of codes, and what is no JSON at all is believed to mean what a 401 means.
func (r *refusal) isAboutToken() bool {
	return r.code != "insufficient_scope" && r.code != "missing_scope"
}

// isRevoked reports whether no other token of the same grant will do.
func (r *refusal) isRevoked() bool { return r.code == "token_revoked" }

// answer is what a tool gets for a call under a refused credential.
func (r *refusal) answer(req *http.Request, credential string) *http.Response {
	code := r.code
	if code == "" {
		code = "invalid_token" // Roam's own word for it
	}
	body, _ := json.Marshal(map[string]any{"ok": false, "error": code, "reason": ErrorCode, "message": fmt.Sprintf(
		"Roam refused roamproxy's own key, of the credential %s, with 401 %s. This tool's token is good. roamproxy's log and /readyz say what "+
			"to do.", credential, code)})
	body = append(body, '\n')
	res := &http.Response{
		Status: "401 Unauthorized", StatusCode: http.StatusUnauthorized, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(len(body))},
			errorHeader: {ErrorCode}, "Proxy-Status": {`roamproxy; error=proxy_configuration_error; details="` + ErrorCode + `"`},
		},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
	if req.Method == http.MethodHead {
		res.Body = http.NoBody
	}
	return res
}

// ErrorCode is the code of answers to a call without a usable credential.
const ErrorCode = "credential"

// errorHeader marks an answer of roamproxy's own. Roam's answers have none: the Transport removes it.
const errorHeader = "Roamproxy-Error"

// acceptance is what Roam's answers say of a secret. A 401 belongs to its route: the secret counts as refused once a second route,
// or token.info as roamproxy itself asks for it, is answered 401 as well, and until any call passes.
type acceptance struct {
	mu      sync.Mutex // guards the following
	secret  Secret
	suspect *refusal  // the first 401 since a call passed
	refused *refusal  // nil: the secret does not count as refused
	asked   time.Time // when roamproxy last began to ask for token.info
	good    time.Time // when token.info last passed
}

// reset makes the standing that of secret. The lock is held.
func (s *acceptance) reset(secret Secret) {
	if s.secret.Reveal() != secret.Reveal() {
		s.secret, s.suspect, s.refused, s.asked, s.good = secret, nil, nil, time.Time{}, time.Time{}
	}
}

// fail takes note of a 401. own: to roamproxy's own call.
func (s *acceptance) fail(r *refusal, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reset(r.secret)
	switch {
	case own, s.refused != nil:
		s.refused = r
	case s.suspect == nil:
		s.suspect = r
	case s.suspect.route != r.route && time.Since(s.good) >= refusalAge: // else token.info has just shown that the secret is good
		s.refused = r
	}
}

// pass takes note of an answer by which Roam accepted the secret.
func (s *acceptance) pass(secret Secret, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret.Reveal() != secret.Reveal() {
		return
	}
	s.suspect, s.refused = nil, nil
	if own {
		s.good = time.Now()
	}
}

// refusalOf returns the refusal of the secret, or nil.
func (s *acceptance) refusalOf(secret Secret) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret.Reveal() != secret.Reveal() {
		return nil
	}
	return s.refused
}

// latest returns the refusal in force, whatever the secret.
func (s *acceptance) latest() *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// startAsking reports whether the caller is to ask for token.info: the secret is suspect or refused, and nobody has asked for a while.
func (s *acceptance) startAsking(secret Secret) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.secret.Reveal() != secret.Reveal() || s.suspect == nil && s.refused == nil || now.Sub(s.asked) < refusalAge {
		return false
	}
	s.asked = now
	return true
}

// routeOf names the method that a request calls: its path, and of a path with more than three segments, which ends in the
// number of one object (SCIM), the first three.
func routeOf(req *http.Request) string {
	path := req.URL.Opaque // of a path that is sent byte for byte
	if path == "" {
		path = req.URL.EscapedPath()
	}
	path, _, _ = strings.Cut(path, "?")
	if parts := strings.SplitN(path, "/", 5); len(parts) == 5 {
		path = strings.Join(parts[:4], "/")
	}
	return path
}

type ownKey struct{}

// isOwnQuestion reports whether a request is roamproxy's own question for token.info.
func isOwnQuestion(ctx context.Context) bool { return ctx.Value(ownKey{}) != nil }
