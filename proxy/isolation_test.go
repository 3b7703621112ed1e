package proxy

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"roamproxy/proxy/credential"
)

// Two tools with a credential each make many different calls at the same time. Roam gets each call unchanged, with its tool's credential.
//
// Seen to fail with the credential put on a request that all calls share.
func TestConcurrentCallsKeepTheirCredentials(t *testing.T) {
	var mu sync.Mutex // guards seen
	seen := make(map[string]int)
	e := &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("Authorization")+" "+r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("X-Fern-Is")]++
		return reply(r, 200, `{"ok":true}`, "X-Fern-Is", r.Header.Get("X-Fern-Is")), nil
	}}
	h := newHarness(t, nil, e, unmetered, func(p *setup) {
		p.proxy.Credentials = nil
		for _, name := range []string{"alice", "bob"} {
			p.proxy.Credentials = append(p.proxy.Credentials, Credential{Name: name,
				Source: credential.Key{Value: credential.NewSecret("key-of-" + name)}, Quota: "roam"})
			p.proxy.Tools = append(p.proxy.Tools, Tool{Name: name, Tokens: tokens("token-of-" + name), Credential: name})
		}
	})
	var all sync.WaitGroup
	for i := range 400 {
		all.Go(func() {
			name, method := []string{"alice", "bob"}[i%2], []string{"GET", "POST"}[i/2%2]
			target, is := fmt.Sprintf("/v1/x%d.info?a=%d", i%7, i), fmt.Sprint(name, i)
			w := h.do(t.Context(), method, target, "{}", "Authorization", "Bearer token-of-"+name, "X-Fern-Is", is)
			if w.Code != 200 || w.Header().Get("X-Fern-Is") != is {
				t.Errorf("%s's %s %s was answered %d %v, want 200 with its own field", name, method, target, w.Code, w.Header())
			}
			want := "Bearer key-of-" + name + " " + method + " " + target + " " + is
			mu.Lock()
			defer mu.Unlock()
			if seen[want] != 1 {
				t.Errorf("Roam saw %d times %s, want once", seen[want], want)
			}
		})
	}
	all.Wait()
}
