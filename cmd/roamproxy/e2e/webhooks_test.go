package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
	"roamproxy/proxy/roamtest/redistest"
)

// webhookReplicas starts replicas in front of one simulated Roam, with a listener for webhooks each and a cache in Redis. Answers
// are cached for ten minutes while webhooks arrive.
func webhookReplicas(t *testing.T, roam *roamtest.Server, n int, forward string) []*server.Server {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(roamtest.WebhookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	redis := redistest.NewRedis(t)
	var all []*server.Server
	for range n {
		c := config.Default(func(string) string { return "" })
		c.Listen, c.Admin.Listen, c.Upstream.URL, c.StateDir = "127.0.0.1:0", "127.0.0.1:0", roam.URL, t.TempDir()
		c.Credentials[0].APIKey = credential.NewSecret(roamtest.DefaultKey)
		c.Quotas[0].Rate, c.Quotas[0].Burst = 100, 100
		c.Redis.URL, c.Redis.Replicas = config.RedisURL(redis.URL()), n
		c.Webhooks = config.Webhooks{Listen: "127.0.0.1:0", Path: "/roam", SecretFile: secret, Forward: []string{forward}}
		c.Cache.Rules = []config.CacheRule{{Match: "GET /v1/chat.history", Webhooks: new(config.Duration(10 * time.Minute))}}
		if mistakes := c.Validate(nil); len(mistakes) > 0 {
			t.Fatal(mistakes)
		}
		r, err := server.Start(c, server.NewLog(c.Log, io.Discard), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Stop(config.Limits{ShutdownGrace: config.Duration(2 * time.Second)}) })
		all = append(all, r)
	}
	awaitListeners(t, redis, n)
	return all
}

// awaitListeners returns when so many replicas hear each other's invalidations.
func awaitListeners(t *testing.T, redis *redistest.Redis, n int) {
	t.Helper()
	host, port, _ := net.SplitHostPort(redis.Addr)
	program := redistest.Program(t, "redis-cli")
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		out, _ := exec.Command(program, "-h", host, "-p", port, "pubsub", "shardnumsub", "{roamproxy}:cache:invalidated").Output()
		if lines := strings.Fields(string(out)); len(lines) == 2 && lines[1] == fmt.Sprint(n) {
			return
		}
	}
	t.Fatal("the replicas do not listen")
}

// A person writes, Roam reports it, and the bot that is woken reads the new message, through whichever replica. Without webhooks 12 of
// 12 such reads lacked it.
func TestABotThatAWebhookWakesReadsTheNewMessage(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{Rate: 100, Burst: 100})
	t.Cleanup(roam.Close)
	tools := client(t)
	var replicas []*server.Server
	woken := make(chan string, 1)
	bot := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := ""
		for i, replica := range replicas {
			res, body := get(t, tools, "http://"+replica.Addr+"/v1/chat.history?chatId=C-1")
			seen += fmt.Sprintf("replica %d: %s %s\n", i, res.Header.Get("Cache-Status"), body)
		}
		woken <- seen
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
		for _, r := range replicas { // the dashboards have it cached
			get(t, tools, "http://"+r.Addr+"/v1/chat.history?chatId=C-1")
		}
		said := fmt.Sprintf("message %d", i)
		direct("/v1/chat.post", `{"chatId":"C-1","text":"`+said+`"}`) // by a person, not through roamproxy
		select {
		case seen := <-woken:
			if n := strings.Count(seen, `"`+said+`"`); n != len(replicas) {
				t.Errorf("message %d is in %d of %d histories:\n%s", i, n, len(replicas), seen)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the bot was not woken by message %d", i)
		}
	}
	roam.WaitDeliveries()
	if res, _ := get(t, tools, "http://"+replicas[0].Addr+"/v1/chat.history?chatId=C-1"); !strings.Contains(res.Header.Get("Cache-Status"), "hit; ttl=59") {
		t.Errorf("while webhooks arrive: Cache-Status %s, want cached for ten minutes", res.Header.Get("Cache-Status"))
	}
	if _, exposed := get(t, tools, "http://"+replicas[0].AdminAddr+"/metrics"); !strings.Contains(exposed, `roamproxy_webhooks_total{result="accepted"} 12`) {
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

// Roam says that the credential is gone: readiness says so too, until a call succeeds.
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
		t.Errorf("readiness after token.revoked: %d %s", res.StatusCode, body)
	}
	get(t, tools, "http://"+r.Addr+"/v1/groups.list")
	if res, body := get(t, tools, "http://"+r.AdminAddr+"/readyz"); res.StatusCode != 200 {
		t.Errorf("readiness after a call that succeeded: %d %s", res.StatusCode, body)
	}
}
