// Package roamtest simulates the Roam HQ API, in the manner of net/http/httptest. A Roam is an http.Handler with a quota of its
// own, data in the shapes in which Roam answers, faults that a test can script, and a journal of every call. The journal is the
// evidence of what a proxy in front of it really sent.
//
//	roam := roamtest.NewServer(roamtest.Options{})
//	defer roam.Close()
//	// point a program at roam.URL with the API key roamtest.DefaultKey, then look at roam.Journal()
//
// The quota is counted in whole nanoseconds and shares no arithmetic with the limiter that it judges. A call is recorded in the
// journal first. Then its credential is checked, then a scripted fault may apply, then it takes a token or is refused, then it
// is answered.
//
// Roam publishes the methods of v0, of /v1/onair, of SCIM and a part of v1. What follows is a guess, from the official clients:
//
//   - every method exists under v0 and v1, and v1 differs by the wrapper {"ok": true, ...} and by chatId instead of chat;
//   - the chat of a group has the id of the group, and that of a direct message is D- and the user's UUID;
//   - the fields of v1's token.info beyond those of v0, and of the answers of chat.search, conversation.list, reaction.list,
//     calendar.*, guest.badge.*, chat.scheduled.*, user.activity.*, user.statusBubble.*, lobby.booking.list and asset.create;
//   - an archived group disappears from all lists, and an archived user from all but SCIM's;
//   - MCP calls at /mcp spend the same quota as others, and a stream spends one token;
//   - refused calls cost nothing, and the quota is a token bucket for all credentials together.
package roamtest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options describes a simulated Roam. The zero value is the real quota and a workspace of 253 users.
type Options struct {
	Rate       float64       // calls a second; 0 means 1
	Burst      int           // calls at once; 0 means 10
	RetryAfter time.Duration // Retry-After of a refused call, rounded up to whole seconds; 0 means 10 s
	Keys       []string      // credentials that are accepted; none means "rmk-test" alone
	ReadOnly   []string      // credentials that are accepted for reads and answered 403 for writes
	Users      int           // how many users there are; 0 means 253
	Latency    time.Duration // an admitted call takes this long to be answered
	MaxLimit   int           // a larger limit is answered 400; 0 means each list's own maximum, to which it is clamped
	End        End           // how the last page of a list says so
	Lenient    bool          // an unknown method is answered {"ok":true} with the header Roamtest-Unknown, rather than 404

	PromptLatency    time.Duration     // *.prompt takes this long, without holding up other calls
	WebhookSecret    string            // signs webhooks; empty means the constant WebhookSecret
	WebhookTransport http.RoundTripper // delivers them; nil means real connections to loopback
}

// End is how the last page of a list says that there is no other. Roam has been seen to do each.
type End int

// The ways in which nextCursor marks the end of a list.
const (
	Absent End = iota
	Null
	Empty
)

// DefaultKey is the credential that is accepted when Options names none.
const DefaultKey = "rmk-test"

// Roam is the simulated API. It may be used by many goroutines.
type Roam struct {
	options Options
	routes  map[string]route
	started time.Time
	agents  agents

	deliveries sync.WaitGroup // of webhooks

	mu      sync.Mutex // guards the following
	bucket  bucket
	journal journal
	faults  []*Fault
	headers map[string]http.Header
	data    data
	revoked []string // credentials that a call has revoked
	oauth   *OAuth   // nil: no authorization server

	bare             map[string]bool // subscriptions of v0, by id
	outbox           []delivery      // caused by the call being answered
	delivered        int
	failedDeliveries []object
}

// New makes a simulated Roam with a full bucket.
func New(o Options) *Roam {
	if o.Rate <= 0 {
		o.Rate = 1
	}
	if o.Burst <= 0 {
		o.Burst = 10
	}
	if o.RetryAfter <= 0 {
		o.RetryAfter = 10 * time.Second
	}
	if len(o.Keys)+len(o.ReadOnly) == 0 {
		o.Keys = []string{DefaultKey}
	}
	if o.Users <= 0 {
		o.Users = 253
	}
	if o.WebhookSecret == "" {
		o.WebhookSecret = WebhookSecret
	}
	if o.WebhookTransport == nil {
		o.WebhookTransport = &http.Transport{DisableKeepAlives: true}
	}
	r := &Roam{options: o, started: time.Now(), bucket: newBucket(o.Rate, o.Burst), headers: make(map[string]http.Header),
		bare: make(map[string]bool), data: newData(o.Users)}
	r.routes = r.table()
	return r
}

// ServeHTTP answers one call.
func (r *Roam) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	entry := r.begin(req)
	key, ok := bearer(req)
	if accepted, code := r.accepts(key); (!ok || !accepted) && !isDiscovery(req) {
		r.fail(w, req, entry, http.StatusUnauthorized, code, "The access token is missing or invalid.")
		return
	}
	if f := r.fault(req, entry); f != nil {
		if f.spends && !r.admit(w, req, entry) {
			return
		}
		f.meet(r, w, req, entry)
		return
	}
	if !r.admit(w, req, entry) {
		return
	}
	latency := r.options.Latency
	if strings.HasSuffix(req.URL.Path, ".prompt") {
		latency += r.options.PromptLatency
	}
	if latency > 0 && !pause(req, latency) {
		return
	}
	r.answer(w, req, entry, key)
}

// isDiscovery reports whether a call needs no credential, as SCIM's descriptions of itself do.
func isDiscovery(req *http.Request) bool {
	path := req.URL.Path
	return strings.HasPrefix(path, scimSchemas) || path == "/scim/v2/ResourceTypes" || path == "/scim/v2/ServiceProviderConfig"
}

// accepts reports whether a credential is good, and with which code it is refused otherwise.
func (r *Roam) accepts(key string) (ok bool, code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.revoked, key) {
		return false, "token_revoked"
	}
	if slices.Contains(r.options.Keys, key) || slices.Contains(r.options.ReadOnly, key) {
		return true, ""
	}
	if r.oauth == nil {
		return false, "invalid_token"
	}
	return r.oauth.knows(key)
}

// admit takes a token or refuses the call, and reports which.
func (r *Roam) admit(w http.ResponseWriter, req *http.Request, entry *Call) bool {
	r.mu.Lock()
	admitted := r.bucket.take(time.Now())
	entry.Admitted = admitted
	r.mu.Unlock()
	if !admitted {
		seconds := int(math.Ceil(r.options.RetryAfter.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		r.fail(w, req, entry, http.StatusTooManyRequests, "ratelimited", "You are making requests too quickly. Please slow down.")
	}
	return admitted
}

func (r *Roam) answer(w http.ResponseWriter, req *http.Request, entry *Call, key string) {
	readOnly := slices.Contains(r.options.ReadOnly, key)
	if isMCP(req) {
		r.answerMCP(w, req, entry, readOnly)
		return
	}
	route, ok := r.find(req.URL.EscapedPath())
	if !ok && r.options.Lenient {
		w.Header().Set("Roamtest-Unknown", "yes")
		route, ok = otherRoute(req.Method), true
	}
	serve := route.handler(req.Method)
	switch {
	case !ok:
		r.fail(w, req, entry, http.StatusNotFound, "unknown_method", "No such method.")
	case serve == nil:
		w.Header().Set("Allow", strings.Join(route.allowed(), ", "))
		r.fail(w, req, entry, http.StatusMethodNotAllowed, "method_not_allowed", "This method is not allowed here.")
	case readOnly && route.writes && req.Method != http.MethodGet && req.Method != http.MethodHead:
		r.fail(w, req, entry, http.StatusForbidden, "missing_scope", "The token lacks a scope that is needed.")
	default:
		in, bad := read(req)
		if bad != nil {
			r.fail(w, req, entry, http.StatusBadRequest, bad.code, bad.sentence)
			return
		}
		r.serve(w, in, entry, serve)
		r.deliver()
	}
}

// otherRoute is what a lenient simulator answers to a method that it does not know.
func otherRoute(method string) route { return route{methods: map[string]handler{method: empty}} }

// serve calls a handler and writes its answer. The answer is encoded under the lock, because it may share data with the workspace.
func (r *Roam) serve(w http.ResponseWriter, in *request, entry *Call, serve handler) {
	r.mu.Lock()
	for name, values := range r.headers[in.URL.EscapedPath()] {
		w.Header()[name] = values
	}
	status, body := serve(in)
	bad, failed := body.(problem)
	var contentType string
	var text []byte
	if !failed {
		contentType, text = encode(in.Request, body)
	}
	r.mu.Unlock()
	if failed {
		r.fail(w, in.Request, entry, status, bad.code, bad.sentence)
		return
	}
	r.status(entry, status)
	if text != nil {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	}
	w.WriteHeader(status)
	if in.Method != http.MethodHead {
		w.Write(text)
	}
}

// encode returns the body of an answer; nil is no body.
func encode(req *http.Request, body any) (kind string, text []byte) {
	switch b := body.(type) {
	case nil:
		return "", nil
	case raw:
		return b.contentType, []byte(b.body)
	case object:
		if v1(req) {
			body = object{"ok": true}.with(b)
		}
	}
	text, _ = json.Marshal(body)
	return contentType(req), text
}

// problem is an error, which is answered in Roam's form.
type problem struct{ code, sentence string }

// raw is an answer that is no JSON.
type raw struct{ contentType, body string }

// fail answers in the shape of the version: a code on v1, a sentence on v0, SCIM's own on SCIM.
func (r *Roam) fail(w http.ResponseWriter, req *http.Request, entry *Call, status int, code, sentence string) {
	r.status(entry, status)
	w.Header().Set("Content-Type", contentType(req))
	var body object
	switch {
	case scim(req):
		body = object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:Error"}, "status": fmt.Sprint(status), "detail": sentence}
	case v1(req):
		body = object{"ok": false, "error": code}
	default:
		body = object{"error": sentence}
	}
	w.WriteHeader(status)
	if req.Method != http.MethodHead {
		json.NewEncoder(w).Encode(body)
	}
}

func v1(req *http.Request) bool   { return strings.HasPrefix(req.URL.Path, "/v1/") }
func scim(req *http.Request) bool { return strings.HasPrefix(req.URL.Path, "/scim/") }

func contentType(req *http.Request) string {
	if scim(req) {
		return "application/scim+json"
	}
	return "application/json"
}

func bearer(req *http.Request) (string, bool) {
	if len(req.Header.Values("Authorization")) != 1 {
		return "", false
	}
	scheme, key, ok := strings.Cut(req.Header.Get("Authorization"), " ")
	return key, ok && strings.EqualFold(scheme, "Bearer")
}

// AddHeader adds header fields to every answer of a path, such as an ETag or a Cache-Control.
func (r *Roam) AddHeader(path string, h http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headers[path] = h.Clone()
}
