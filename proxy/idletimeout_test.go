package proxy

import (
	"io"
	"net/http"
	"testing"
	"time"

	"roamproxy/limiter/transport"
)

// silent is an upstream that never answers.
func silent(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// Seen to fail with one time for all routes.
func TestRoutesHaveTheirOwnTimeout(t *testing.T) {
	for _, tt := range []struct {
		name, method, target string
		want                 time.Duration
	}{
		{"a write", "POST", "/v1/chat.post", 30 * time.Second},
		{"a read that may be cached", "GET", "/v1/group.list", 30 * time.Second},
		{"a prompt", "POST", "/v1/meeting.prompt", 2 * time.Minute},
		{"a prompt on a route of tomorrow", "POST", "/v1/agent.prompt", 2 * time.Minute},
		{"messages of an agent", "POST", "/mcp", 2 * time.Minute},
		{"a shorter one by configuration", "POST", "/v1/item.upload", 20 * time.Second},
		{"a longer one by configuration", "POST", "/v1/report.make", 5 * time.Minute},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			h := newHarness(t, nil, roundTrips(silent), unmetered, func(p *setup) {
				p.proxy.Tables.Routes = []Route{
					{Match: "POST /v1/item.upload", Timeout: new(20 * time.Second)},
					{Match: "POST /v1/report.make", Timeout: new(5 * time.Minute)},
				}
			})
			start := time.Now()
			w := h.do(t.Context(), tt.method, tt.target, "{}")
			if took := time.Since(start); w.Code != 504 || took != tt.want {
				t.Errorf("%d after %v, want 504 after %v", w.Code, took, tt.want)
			}
		})
	}
}

// A response may take any time while its pieces arrive within the idle timeout. Otherwise the call ends. An event stream has no timeout.
//
// Seen to fail with a timeout of event streams.
func TestAResponseEndsAfterItsIdleTimeout(t *testing.T) {
	for _, tt := range []struct {
		name, kind string
		pause      time.Duration // after each of ten pieces
		pieces     int           // that come
	}{
		{"pieces in time", "application/json", 29 * time.Second, 10},
		{"silence after the first", "application/json", 31 * time.Second, 1},
		{"silence of an event stream", "text/event-stream; charset=utf-8", time.Hour, 10},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			rt := &idleTimeout{limit: 30 * time.Second, next: roundTrips(func(r *http.Request) (*http.Response, error) {
				from, to := io.Pipe()
				go func() {
					for range 10 {
						io.WriteString(to, "x")
						select {
						case <-time.After(tt.pause):
						case <-r.Context().Done():
							to.CloseWithError(r.Context().Err())
							return
						}
					}
					to.Close()
				}()
				res := reply(r, 200, "", "Content-Type", tt.kind)
				res.Header.Set("Content-Type", tt.kind)
				res.Body = from
				return res, nil
			})}
			req, _ := http.NewRequestWithContext(transport.WithCall(t.Context(), &transport.Call{}), "GET", "http://roam.example", nil)
			res, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if len(got) != tt.pieces || (err == nil) != (tt.pieces == 10) {
				t.Errorf("%d pieces came, with %v; want %d", len(got), err, tt.pieces)
			}
		})
	}
}
