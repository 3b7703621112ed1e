// Package webhook receives Roam's webhooks (Standard Webhooks), so that cached answers are removed as soon as Roam reports a change.
//
//	Roam ──► verify ──► invalidate ──► forward to each receiver ──► 204, or 502 if one of them failed
//	           │ forged, old, too large or no JSON: refused before anything else happens
//	           └ a repeated delivery: 200, and not forwarded again
//
// Roam waits three seconds for an answer and repeats nothing. It pauses a subscription whose deliveries fail for a day, so the status of
// the answer is that of the receivers.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"roamproxy/cache"
)

const (
	// maxBody bounds a delivery, in bytes. Roam's largest contains a whole transcript, about 300 KB.
	maxBody = 1 << 20
	// forwardTimeout bounds the time of all receivers together. Roam waits 3 s, and the answer needs time to arrive.
	forwardTimeout = 2500 * time.Millisecond
)

// Result is how a delivery ended.
type Result string

// The results.
const (
	Accepted   Result = "accepted"   // every receiver accepted it
	Failed     Result = "failed"     // a receiver did not accept it
	Repeated   Result = "repeated"   // its id was delivered before
	Challenged Result = "challenged" // Roam verified the URL
	Forged     Result = "forged"     // its signature belongs to no secret
	Outdated   Result = "outdated"   // its timestamp is more than five minutes off
	Malformed  Result = "malformed"  // too large, no JSON, or without the headers of a webhook
	NotFound   Result = "not_found"  // another method or path
)

// Results returns every Result.
func Results() []Result {
	return []Result{Accepted, Failed, Repeated, Challenged, Forged, Outdated, Malformed, NotFound}
}

// Options describe a Receiver. Path, Secrets and Invalidate are required.
type Options struct {
	Path       string
	Secrets    func() ([]string, error)           // called for each delivery, so a rotated secret is in force at once
	Invalidate func(Event)                        // removes cached answers; returns when all reachable replicas have done so
	Forward    []*url.URL                         // receivers
	Transport  http.RoundTripper                  // to the receivers; nil: http.DefaultTransport
	Observe    func(Result, Event, time.Duration) // called for each delivery with the time of forwarding, by many goroutines; optional
}

// Receiver is the http.Handler of a listener that Roam can reach. It is safe for concurrent use.
type Receiver struct {
	o         Options
	delivered deliveryIDs

	mu   sync.Mutex // guards last
	last time.Time  // of the latest genuine delivery
}

// New returns a Receiver, or an error if a secret is unusable.
func New(o Options) (*Receiver, error) {
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Observe == nil {
		o.Observe = func(Result, Event, time.Duration) {}
	}
	if _, err := verifiers(o.Secrets); err != nil {
		return nil, err
	}
	return &Receiver{o: o}, nil
}

// Last returns when the latest genuine delivery arrived; zero: none has.
func (r *Receiver) Last() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// ServeHTTP answers one delivery. Every request for another path is answered 404.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if req.Method != http.MethodPost || req.URL.EscapedPath() != r.o.Path {
		r.o.Observe(NotFound, Event{}, 0)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		status := http.StatusRequestTimeout // it came too slowly, or ended early
		if errors.As(err, new(*http.MaxBytesError)) {
			status = http.StatusRequestEntityTooLarge
		}
		r.refuse(w, Malformed, status)
		return
	}
	if challenge, ok := parseChallenge(body); ok {
		r.answerChallenge(w, challenge)
		return
	}
	if result, status := r.verify(body, req.Header); result != "" {
		r.refuse(w, result, status)
		return
	}
	event, err := parseEvent(body)
	if err != nil {
		r.refuse(w, Malformed, http.StatusBadRequest)
		return
	}
	r.noteArrival()
	id := req.Header.Get("Webhook-Id")
	if !r.delivered.add(id, time.Now()) {
		r.o.Observe(Repeated, event, 0)
		w.WriteHeader(http.StatusOK)
		return
	}
	r.o.Invalidate(event)
	begun := time.Now()
	if err := r.forward(req, body); err != nil {
		r.delivered.remove(id) // so that it can be delivered again
		r.o.Observe(Failed, event, time.Since(begun))
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	r.o.Observe(Accepted, event, time.Since(begun))
	w.WriteHeader(http.StatusNoContent)
}

func (r *Receiver) noteArrival() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = time.Now()
}

// refuse answers a delivery that is not genuine. The status is never 410, which in Standard Webhooks ends a subscription.
func (r *Receiver) refuse(w http.ResponseWriter, result Result, status int) {
	r.o.Observe(result, Event{}, 0)
	w.WriteHeader(status)
}

// answerChallenge repeats the challenge, which proves to Roam that the URL is ours.
func (r *Receiver) answerChallenge(w http.ResponseWriter, challenge string) {
	r.o.Observe(Challenged, Event{}, 0)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"challenge": challenge})
}

// forward sends the delivery unchanged to all receivers at the same time. The error names every receiver that failed.
func (r *Receiver) forward(req *http.Request, body []byte) error {
	ctx, cancel := context.WithTimeout(req.Context(), forwardTimeout)
	defer cancel()
	failures := make(chan error, len(r.o.Forward))
	for i, to := range r.o.Forward {
		go func() {
			if err := r.send(ctx, to, req.Header, body); err != nil {
				failures <- fmt.Errorf("webhook: receiver %d of %d: %w", i+1, len(r.o.Forward), err)
				return
			}
			failures <- nil
		}()
	}
	var failed []error
	for range r.o.Forward {
		failed = append(failed, <-failures)
	}
	return errors.Join(failed...)
}

// send posts a delivery to one receiver. The error does not contain the URL, which may have a password.
func (r *Receiver) send(ctx context.Context, to *url.URL, header http.Header, body []byte) error {
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return errors.New("its URL is unusable")
	}
	for name, values := range header {
		if !cache.IsHopByHop(name) && name != "Content-Length" {
			out.Header[name] = values
		}
	}
	res, err := r.o.Transport.RoundTrip(out)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("no answer within %v", forwardTimeout)
		}
		return errors.New("it cannot be reached")
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("it answered %d", res.StatusCode)
	}
	return nil
}
