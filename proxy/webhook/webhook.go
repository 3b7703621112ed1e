// Package webhook receives Roam's webhooks (Standard Webhooks), so that the cache is right the moment Roam reports a change.
//
//	Roam ──► verify ──► invalidate ──► forward to each receiver ──► 204, or 502 if one of them failed
//	           │ forged, old, too large or no JSON: refused before anything else happens
//	           └ seen before: 200, and not forwarded again
//
// Roam waits three seconds for an answer and repeats nothing. It pauses a subscription whose deliveries fail for a day, so the
// answer tells the truth about the receivers.
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
	// maxBody bounds a delivery. Roam's largest carries a whole transcript, some 300 KB.
	maxBody = 1 << 20
	// forwardTimeout is how long all receivers have together. Roam waits 3 s, and the answer needs time to arrive.
	forwardTimeout = 2500 * time.Millisecond
)

// Result says what became of a delivery, for the metric.
type Result string

// The results.
const (
	Accepted   Result = "accepted"   // every receiver took it
	Failed     Result = "failed"     // a receiver did not
	Repeated   Result = "repeated"   // its id was seen before
	Challenged Result = "challenged" // Roam verified the URL
	Forged     Result = "forged"     // no secret made the signature
	Outdated   Result = "outdated"   // its timestamp is more than five minutes off
	Malformed  Result = "malformed"  // too large, no JSON, or without the headers of a webhook
	NotFound   Result = "not_found"  // another method or path
)

// Results returns all of them.
func Results() []Result {
	return []Result{Accepted, Failed, Repeated, Challenged, Forged, Outdated, Malformed, NotFound}
}

// Options describe a Receiver. Path, Secrets and Invalidate are required.
type Options struct {
	Path       string
	Secrets    func() ([]string, error)           // asked for each delivery: a rotated secret is in force at once
	Invalidate func(Event)                        // returns when the cached answers are gone, on all replicas that can be reached
	Forward    []*url.URL                         // receivers
	Transport  http.RoundTripper                  // to the receivers; nil: http.DefaultTransport
	Observe    func(Result, Event, time.Duration) // the time of forwarding; called from many goroutines; nil: nobody is told
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

// Last returns when the latest genuine delivery or verification arrived; zero: none has.
func (r *Receiver) Last() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// ServeHTTP answers one delivery. What is not addressed to the one path learns nothing, not even that there is another.
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

// refuse answers what is not genuine. The status is never 410, by which Standard Webhooks ends a subscription.
func (r *Receiver) refuse(w http.ResponseWriter, result Result, status int) {
	r.o.Observe(result, Event{}, 0)
	w.WriteHeader(status)
}

// answerChallenge proves to Roam that the URL is ours, by saying again what it said.
func (r *Receiver) answerChallenge(w http.ResponseWriter, challenge string) {
	r.o.Observe(Challenged, Event{}, 0)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"challenge": challenge})
}

// forward sends the delivery to every receiver at the same time, unchanged, and returns an error that names the first that failed.
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

// send posts a delivery to one receiver. Its error has no URL, which may hold a password.
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
