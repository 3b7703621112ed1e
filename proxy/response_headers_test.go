package proxy

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestFieldsOfEveryAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) {
			time.Sleep(180 * time.Millisecond)
			return reply(r, 200, `{"ok":true}`, "Set-Cookie", "a=b", "X-Roam", "1", "Connection", "X-Hop", "X-Hop", "1"), nil
		}}
		h := newHarness(t, nil, e)
		for range 10 {
			h.post(t.Context())
		}
		read := h.do(t.Context(), "GET", "/v1/user.list", "").Header()
		if read.Get("Set-Cookie")+read.Get("X-Hop")+read.Get("Connection") != "" || read.Get("X-Roam") != "1" {
			t.Errorf("a read that may be cached is answered with %v, want X-Roam and no cookie or hop-by-hop field", read)
		}
		w := h.do(t.Context(), "POST", "/v1/chat.post", "{}")
		for name, want := range map[string]string{
			"Cache-Status": "roamproxy; fwd=method", "Ratelimit-Policy": `"roam";q=10;w=10`, "Set-Cookie": "", "X-Roam": "1", "X-Hop": "",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if got := w.Header().Get("Server-Timing"); got != "queue;dur=200, upstream;dur=180" {
			t.Errorf("Server-Timing = %q, want a queue of 200 and an upstream of 180", got)
		}
	})
}
