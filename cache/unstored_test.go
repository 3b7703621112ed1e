package cache

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// Where nothing is stored, equal requests share an answer only if it is JSON: any other may have no end.
func TestOnlyJSONIsSharedWhereNothingIsStored(t *testing.T) {
	for _, tt := range []struct {
		name, kind string
		rule       Rule
		calls      int
	}{
		{"JSON", "application/json; charset=utf-8", Rule{}, 1},
		{"SCIM", "application/scim+json", Rule{}, 1},
		{"text", "text/vtt", Rule{}, 2},
		{"events", "text/event-stream", Rule{}, 2},
		{"no type", "", Rule{}, 2},
		{"text of a route that is stored", "text/vtt", Rule{TTL: 1}, 1},
		{"events of a route that is stored", "text/event-stream", Rule{TTL: 1}, 2},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			c := open(t, Options{})
			calls := 0
			begin := make(chan struct{})
			by := fillFunc(func(context.Context, Call) (*http.Response, error) {
				calls++
				<-begin
				return &http.Response{
					StatusCode:    200,
					Header:        http.Header{"Content-Type": {tt.kind}},
					Body:          io.NopCloser(strings.NewReader(`{}`)),
					ContentLength: 2,
				}, nil
			})
			q := Lookup{Key: "k", Route: "/v1/x", Rule: tt.rule, Shares: true}
			answers := make(chan *Answer, 2)
			for range 2 {
				go func() {
					a, err := c.Do(t.Context(), q, by)
					if err != nil {
						t.Error(err)
					}
					answers <- a
				}()
			}
			synctest.Wait()
			close(begin)
			for range 2 {
				(<-answers).close()
			}
			if calls != tt.calls {
				t.Errorf("%d calls, want %d", calls, tt.calls)
			}
		})
	}
}
