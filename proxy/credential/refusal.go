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

// refusalAge is how long a credential counts as refused before roamproxy asks Roam again. So a dead key costs two calls a minute, and a
// repaired one is noticed after half a minute.
const refusalAge = 30 * time.Second

// refusalSize bounds how much of a 401 is read, in bytes. Roam's is a line of JSON.
const refusalSize = 16 << 10

// refusal is a 401 that Roam gave to a secret.
type refusal struct {
	secret Secret
	code   string // Roam's error code; "": none
	route  string
}

// refuse returns the refusal in a 401. The body of res can still be read from its beginning.
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

// refusedBody is the body of a 401, with the refusal, for CanRepeat.
type refusedBody struct {
	io.ReadCloser
	refusal *refusal
}

// isAboutToken reports whether the credential itself was refused, and not only for this method. v0 has sentences in place of codes. A body
// that is no JSON counts as a refusal of the credential.
func (r *refusal) isAboutToken() bool {
	return r.code != "insufficient_scope" && r.code != "missing_scope"
}

// isRevoked reports whether the whole grant was revoked, so that a refresh would not help.
func (r *refusal) isRevoked() bool { return r.code == "token_revoked" }

// answer returns the response to a tool's call under a refused credential.
func (r *refusal) answer(req *http.Request, credential string) *http.Response {
	code := r.code
	if code == "" {
		code = "invalid_token" // Roam's code for it
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

// errorHeader marks an answer of roamproxy's own. The Transport removes it from Roam's answers.
const errorHeader = "Roamproxy-Error"

// acceptance records whether Roam accepts a secret. One 401 may be about its route only. The secret counts as refused after a second route,
// or roamproxy's own call of token.info, is answered 401 too. It counts as good again as soon as any call succeeds.
type acceptance struct {
	mu      sync.Mutex // guards the following
	secret  Secret
	suspect *refusal  // the first 401 since a call succeeded
	refused *refusal  // nil: the secret does not count as refused
	asked   time.Time // when roamproxy last began to ask for token.info
	good    time.Time // when token.info last succeeded
}

// reset forgets everything if secret is another one than before. The lock is held.
func (a *acceptance) reset(secret Secret) {
	if a.secret.Reveal() != secret.Reveal() {
		a.secret, a.suspect, a.refused, a.asked, a.good = secret, nil, nil, time.Time{}, time.Time{}
	}
}

// fail records a 401. own reports that it answers roamproxy's own call.
func (a *acceptance) fail(r *refusal, own bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reset(r.secret)
	switch {
	case own, a.refused != nil:
		a.refused = r
	case a.suspect == nil:
		a.suspect = r
	case a.suspect.route != r.route && time.Since(a.good) >= refusalAge: // unless token.info has just shown that the secret is good
		a.refused = r
	}
}

// pass records that Roam accepted the secret.
func (a *acceptance) pass(secret Secret, own bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.secret.Reveal() != secret.Reveal() {
		return
	}
	a.suspect, a.refused = nil, nil
	if own {
		a.good = time.Now()
	}
}

// refusalOf returns the refusal of the secret, or nil.
func (a *acceptance) refusalOf(secret Secret) *refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.secret.Reveal() != secret.Reveal() {
		return nil
	}
	return a.refused
}

// latest returns the refusal in force, whatever the secret.
func (a *acceptance) latest() *refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused
}

// startAsking reports whether the caller must ask for token.info: the secret is suspect or refused, and the last question is refusalAge
// ago.
func (a *acceptance) startAsking(secret Secret) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if a.secret.Reveal() != secret.Reveal() || a.suspect == nil && a.refused == nil || now.Sub(a.asked) < refusalAge {
		return false
	}
	a.asked = now
	return true
}

// routeOf returns the route of a request: its path, or the first three segments of a longer path, which ends in an id (SCIM).
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
