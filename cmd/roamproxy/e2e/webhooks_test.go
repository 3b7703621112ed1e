package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
	"roamproxy/proxy/roamtest/redistest"
)

// webhookReplicas starts replicas in front of one simulated Roam, each with a listener for webhooks, and with a shared cache. Answers are
// cached for ten minutes while webhooks arrive.
func webhookReplicas(t *testing.T, roam *roamtest.Server, n int, forward string) []*server.Server {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(roamtest.WebhookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	redis := redistest.NewRedis(t)
	var all []*server.Server
	for range n {
		r, _ := servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) {
			c.Upstream.URL = roam.URL
			c.Quotas[0].Rate, c.Quotas[0].Burst = 100, 100
			c.Redis.URL, c.Redis.Replicas = config.RedisURL(redis.URL()), n
			c.Webhooks.Listen, c.Webhooks.Path, c.Webhooks.SecretFile, c.Webhooks.Forward = "127.0.0.1:0", "/roam", secret, []string{forward}
			c.Cache.Rules = []config.CacheRule{{Match: "GET /v1/chat.history", Webhooks: new(config.Duration(10 * time.Minute))}}
		})
		all = append(all, r)
	}
	subscribed(t, redisClient(t, redis), int64(n))
	return all
}

// A person writes, Roam sends a webhook, and the bot that receives it reads the new message through every replica.
//
// Seen to fail without webhooks: 12 of 12 reads lacked the message.
func TestABotReadsTheMessageThatAWebhookReports(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{Rate: 100, Burst: 100})
	t.Cleanup(roam.Close)
	tools := client(t)
	var replicas []*server.Server
	read := make(chan string, 1)
	bot := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := ""
		for i, replica := range replicas {
			res, body := get(t, tools, "http://"+replica.Addr+"/v1/chat.history?chatId=C-1")
			seen += fmt.Sprintf("replica %d: %s %s\n", i, res.Header.Get("Cache-Status"), body)
		}
		read <- seen
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(bot.Close)
	replicas = webhookReplicas(t, roam, 2, bot.URL)
	direct := func(path, body string) {
		t.Helper()
		req, _ := http.NewRequest("POST", roam.URL+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+roamtest.DefaultKey)
		res, err := tools.Do(req)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: %v, %v", path, res, err)
		}
		res.Body.Close()
	}
	direct("/v1/webhook.subscribe", `{"event":"chat.message","url":"http://`+replicas[0].WebhookAddr+`/roam"}`)
	for i := range 12 {
		for _, r := range replicas { // now it is cached
			get(t, tools, "http://"+r.Addr+"/v1/chat.history?chatId=C-1")
		}
		said := fmt.Sprintf("message %d", i)
		direct("/v1/chat.post", `{"chatId":"C-1","text":"`+said+`"}`) // by a person, not through roamproxy
		select {
		case seen := <-read:
			if n := strings.Count(seen, `"`+said+`"`); n != len(replicas) {
				t.Errorf("message %d is in %d of %d histories:\n%s", i, n, len(replicas), seen)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no webhook reported message %d to the bot", i)
		}
	}
	roam.WaitDeliveries()
	res, _ := get(t, tools, "http://"+replicas[0].Addr+"/v1/chat.history?chatId=C-1")
	if status := res.Header.Get("Cache-Status"); !strings.Contains(status, "hit; ttl=59") {
		t.Errorf("while webhooks arrive Cache-Status is %s, want a hit for ten minutes", status)
	}
	if _, exposed := get(t, tools, "http://"+replicas[0].AdminAddr+"/metrics"); !strings.Contains(exposed,
		`roamproxy_webhooks_total{result="accepted"} 12`) {
		t.Error("the metrics do not count 12 accepted webhooks")
	}
}

func TestTheWebhookListenerRevealsNothing(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{})
	t.Cleanup(roam.Close)
	r := webhookReplicas(t, roam, 1, "http://127.0.0.1:9/")[0]
	tools := client(t)
	for _, path := range []string{"/", "/metrics", "/healthz", "/v1/user.list", "/roam", "/api/status"} {
		t.Run(path, func(t *testing.T) {
			res, body := get(t, tools, "http://"+r.WebhookAddr+path)
			if res.StatusCode != 404 || body != "" || res.Header.Get("Server") != "" {
				t.Errorf("got %d %q %v, want a bare 404", res.StatusCode, body, res.Header)
			}
		})
	}
	if roam.Calls() != 0 {
		t.Errorf("%d calls reached Roam, want none", roam.Calls())
	}
}

// Roam reports that the credential is revoked. Readiness is red until a call succeeds.
func TestARevokedTokenTurnsReadinessRed(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{Keys: []string{roamtest.DefaultKey, "rmk-other"}})
	t.Cleanup(roam.Close)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }))
	t.Cleanup(hook.Close)
	r := webhookReplicas(t, roam, 1, hook.URL)[0]
	tools := client(t)
	direct := func(path, body string) {
		req, _ := http.NewRequest("POST", roam.URL+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer rmk-other")
		if res, err := tools.Do(req); err == nil {
			res.Body.Close()
		}
	}
	direct("/v1/webhook.subscribe", `{"event":"token.revoked","url":"http://`+r.WebhookAddr+`/roam"}`)
	direct("/v1/token.revoke", ``)
	roam.WaitDeliveries()
	if res, body := get(t, tools, "http://"+r.AdminAddr+"/readyz"); res.StatusCode != 503 || !strings.Contains(body, "token.revoked") {
		t.Errorf("readiness after token.revoked: %d %s, want 503", res.StatusCode, body)
	}
	get(t, tools, "http://"+r.Addr+"/v1/groups.list")
	if res, body := get(t, tools, "http://"+r.AdminAddr+"/readyz"); res.StatusCode != 200 {
		t.Errorf("readiness after a call that succeeded: %d %s, want 200", res.StatusCode, body)
	}
}
