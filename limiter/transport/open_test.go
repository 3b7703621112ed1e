package transport_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"roamproxy/limiter"
	"roamproxy/limiter/transport"
)

// A response counts as open from its header until its body was read to the end or closed, and it is counted once.
//
// Seen to fail with a body that gives its place back twice.
func TestAResponseIsOpenUntilItsBodyEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(io.ReadCloser)
	}{
		{"read to the end", func(b io.ReadCloser) { io.Copy(io.Discard, b) }},
		{"closed early", func(b io.ReadCloser) { b.Close() }},
		{"read, and closed twice", func(b io.ReadCloser) { io.Copy(io.Discard, b); b.Close(); b.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 1, 5, limiter.Options{})
				f.rt.Open = transport.NewOpenResponses(2)
				res := f.open(t, "bot")
				other := f.open(t, "bot")
				if open := f.rt.Open.Open(); open["bot"] != 2 || f.queue.State().InFlight != 0 {
					t.Errorf("open are %v before the end, want 2, and no slot taken", open)
				}
				tt.end(res.Body)
				if open := f.rt.Open.Open(); open["bot"] != 1 {
					t.Errorf("open are %v after the end of one, want 1", open)
				}
				other.Body.Close()
				if free := f.places(t); free != 2 {
					t.Errorf("%d places are free in the end, want both", free)
				}
			})
		})
	}
}

// A call that gets no response gives its place back, whatever the reason.
func TestACallWithoutAResponseIsNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, limiter.Options{})
		f.rt.Open = transport.NewOpenResponses(2)
		f.script = append(f.script, fails(io.ErrUnexpectedEOF), says(429, "Retry-After", "1"))
		f.post("bot")
		f.open(t, "bot").Body.Close() // was refused once
		if calls := f.rt.Open.Calls(); len(calls) != 0 {
			t.Errorf("calls are %v, want none", calls)
		}
		if free := f.places(t); free != 2 {
			t.Errorf("%d places are free, want both", free)
		}
	})
}

// open sends one call of a tool, and returns its response with the body still to be read.
func (f *fixture) open(t *testing.T, tool string) *http.Response {
	t.Helper()
	ctx := transport.WithCall(t.Context(), from(tool))
	req, err := http.NewRequestWithContext(ctx, "POST", "http://roam/v1/"+tool, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := f.rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// places returns how many responses a tool may have open at once from now on.
func (f *fixture) places(t *testing.T) (n int) {
	t.Helper()
	for ; ; n++ {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://roam/v1/other", nil)
		res, err := f.rt.RoundTrip(req)
		if err != nil {
			if !errors.Is(err, transport.ErrTooManyOpen) {
				t.Fatal(err)
			}
			return n
		}
		defer res.Body.Close()
	}
}
