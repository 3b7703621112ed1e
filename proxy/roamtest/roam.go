// Package roamtest simulates the Roam HQ API, in the manner of net/http/httptest: a Roam is an http.Handler with a quota of its
// own, data in the shapes that Roam answers with, faults that a test can script, and a journal of every call, which is the
// witness of what a proxy in front of it really sent.
//
// Its quota is counted in whole nanoseconds and shares no arithmetic with the limiter that it judges. A call is journaled
// first, then its credential is checked, then a scripted fault may meet it, then it takes a token or is refused, then it is
// answered.
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
	RetryAfter time.Duration // what a refused call is told, in whole seconds, rounded up; 0 means 10 s
	Keys       []string      // credentials that are accepted; none means "rmk-test" alone
	ReadOnly   []string      // credentials that are accepted for reads and answered 403 for writes
	Users      int           // how many users there are; 0 means 253
	Latency    time.Duration // an admitted call takes this long to be answered
	MaxLimit   int           // a larger limit is answered 400; 0 means each list's own maximum, to which it is clamped
	End        End           // how the last page of a list says so
}

// End is how the last page of a list says that there is no other. Roam has been seen to do each.
type End int

// The ways in which nextCursor tells the end.
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

	mu      sync.Mutex // guards the quota, the journal, the faults and the data
	bucket  bucket
	journal journal
	faults  []*Fault
	headers map[string]http.Header
	data    data
	oauth   *OAuth // nil: nobody gives tokens
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
	r := &Roam{options: o, bucket: newBucket(o.Rate, o.Burst), headers: make(map[string]http.Header), data: newData(o.Users)}
	r.routes = r.table()
	return r
}

// ServeHTTP answers one call.
func (r *Roam) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	entry := r.begin(req)
	key, ok := bearer(req)
	if accepted, code := r.accepts(key); !ok || !accepted {
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
	if r.options.Latency > 0 && !pause(req, r.options.Latency) {
		return
	}
	r.answer(w, req, entry, key)
}

// accepts tells whether a credential is good, and with which code it is refused otherwise.
func (r *Roam) accepts(key string) (ok bool, code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.options.Keys, key) || slices.Contains(r.options.ReadOnly, key) {
		return true, ""
	}
	if r.oauth == nil {
		return false, "invalid_token"
	}
	return r.oauth.knows(key)
}

// admit takes a token, or refuses the call.
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
	route, ok := r.routes[req.URL.EscapedPath()]
	if !ok {
		route, ok = r.scimRoute(req.URL.EscapedPath())
	}
	switch {
	case !ok:
		r.fail(w, req, entry, http.StatusNotFound, "unknown_method", "No such method.")
	case !slices.Contains(route.methods, req.Method) && !(req.Method == http.MethodHead && slices.Contains(route.methods, http.MethodGet)):
		w.Header().Set("Allow", strings.Join(route.methods, ", "))
		r.fail(w, req, entry, http.StatusMethodNotAllowed, "method_not_allowed", "This method is not allowed here.")
	case route.writes && req.Method != http.MethodGet && slices.Contains(r.options.ReadOnly, key):
		r.fail(w, req, entry, http.StatusForbidden, "missing_scope", "The token lacks a scope that is needed.")
	default:
		r.mu.Lock()
		for name, values := range r.headers[req.URL.EscapedPath()] {
			w.Header()[name] = values
		}
		r.mu.Unlock()
		status, body := route.serve(req)
		if e, failed := body.(problem); failed {
			r.fail(w, req, entry, status, e.code, e.sentence)
			return
		}
		r.write(w, req, entry, status, body)
	}
}

// problem is an answer that goes out in Roam's shape for errors.
type problem struct{ code, sentence string }

// raw is an answer that is no JSON.
type raw struct{ contentType, body string }

// object is an answer in JSON. On v1 it is wrapped.
type object map[string]any

func (r *Roam) write(w http.ResponseWriter, req *http.Request, entry *Call, status int, body any) {
	r.status(entry, status)
	var out []byte
	switch b := body.(type) {
	case nil:
		w.WriteHeader(status)
		return
	case raw:
		w.Header().Set("Content-Type", b.contentType)
		out = []byte(b.body)
	case object:
		w.Header().Set("Content-Type", contentType(req))
		if v1(req) {
			b = object{"ok": true}.with(b)
		}
		out, _ = json.Marshal(b)
	default:
		w.Header().Set("Content-Type", contentType(req))
		out, _ = json.Marshal(b)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	w.WriteHeader(status)
	if req.Method != http.MethodHead {
		w.Write(out)
	}
}

func (o object) with(more object) object {
	for k, v := range more {
		o[k] = v
	}
	return o
}

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

// Tell adds header fields to every answer of a path, such as an ETag or a Cache-Control.
func (r *Roam) Tell(path string, h http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headers[path] = h.Clone()
}
