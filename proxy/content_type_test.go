package proxy

import (
	"io"
	"net/http"
	"testing"
)

// Roam's response without a Content-Type has none for the tool either: a guess could make a body a web page.
//
// Seen to fail with net/http's guess, on every row but the empty one.
func TestNoContentTypeIsGuessed(t *testing.T) {
	for name, body := range map[string]string{
		"JSON": `{"ok":true}`, "a picture": "\x89PNG\r\n\x1a\n", "a script": "<script>alert(1)</script>", "text": "hello", "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, nil, &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) {
				res := reply(r, 200, body)
				res.Header.Del("Content-Type")
				return res, nil
			}}, unmetered)
			address := served(t, h)
			for _, call := range []struct{ method, target, header, by string }{
				{"POST", "/v1/chat.post", "", "passed through"},
				{"GET", "/v1/group.list", "", "read for the cache"},
				{"GET", "/v1/group.list", "", "a hit"},
				{"GET", "/v1/group.list", "no-store", "read past the cache"},
			} {
				req, _ := http.NewRequest(call.method, address+call.target, nil)
				req.Header.Set("Cache-Control", call.header)
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if got, ok := res.Header["Content-Type"]; ok || res.StatusCode != 200 {
					t.Errorf("%s: %d with Content-Type %q, want 200 without one", call.by, res.StatusCode, got)
				}
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
}
