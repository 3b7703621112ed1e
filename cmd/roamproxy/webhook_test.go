package main

import (
	"io"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// A subscription is added, listed and removed through the running roamproxy.
func TestWebhooksAreSubscribedListedAndRemoved(t *testing.T) {
	r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, nil)
	env := environ{"HOME": t.TempDir()}
	admin := "http://" + r.AdminAddr
	code, out, err := invoke(t, env, "webhook", "subscribe", "--url", admin, "http://127.0.0.1:9/roam", "chat.message", "lobby.booked")
	if code != 0 || !strings.Contains(out, "subscribed: lobby.booked") || !strings.Contains(out, "path: /roam") {
		t.Fatalf("subscribe: exit %d, %s %s", code, out, err)
	}
	code, out, err = invoke(t, env, "webhook", "list", "--url", admin)
	if code != 0 || strings.Count(out, "http://127.0.0.1:9/roam") != 2 {
		t.Fatalf("list: exit %d, %s %s", code, out, err)
	}
	id := strings.Fields(out)[0]
	if code, out, err = invoke(t, env, "webhook", "remove", "--url", admin, id); code != 0 || !strings.Contains(out, "removed: "+id) {
		t.Errorf("remove: exit %d, %s %s", code, out, err)
	}
	if code, _, err = invoke(t, env, "webhook", "remove", "--url", admin, id); code == 0 || !strings.Contains(err, "webhook_not_found") {
		t.Errorf("remove again: exit %d, %s; want Roam's own error", code, err)
	}
	if code, _, err = invoke(t, env, "webhook", "subscribe", "--url", admin, "nowhere"); code == 0 || !strings.Contains(err, "want a URL") {
		t.Errorf("a URL that is none: exit %d, %s", code, err)
	}
}
