package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"roamproxy/proxy/roamtest"
	"roamproxy/proxy/roamtest/redistest"
)

// Calls wait while the quota is alone, shared, shared elsewhere and alone again, and Roam sees none too many.
func TestAReloadSharesTheQuotaAndEndsIt(t *testing.T) {
	here, there := redistest.NewRedis(t), redistest.NewRedis(t)
	const fast = "quotas: [{name: roam, rate: 20, burst: 10, jitter: 300ms}]\n" // six of ten are held back, and four go at once
	shared := func(r *redistest.Redis, prefix string) string {
		return fmt.Sprintf("%sredis: {url: %s, prefix: %s, replicas: 1}\n", fast, r.URL(), prefix)
	}
	c := configure(t, roamtest.Options{Rate: 20}, fast)
	tools := client(t)
	var waiting sync.WaitGroup
	for range 150 {
		waiting.Go(func() {
			if got := post(tools, "http://"+c.Addr); got != 200 {
				t.Errorf("a call that waited through reloads was answered %d", got)
			}
		})
	}
	for i, step := range []struct {
		lines string
		up    string // what the metric says; "": it is not there
	}{
		{shared(here, "one"), "roamproxy_redis_up 1"},
		{shared(here, "two"), "roamproxy_redis_up 1"},
		{shared(there, "two"), "roamproxy_redis_up 1"},
		{fast, ""},
		{shared(there, "two"), "roamproxy_redis_up 1"},
	} {
		for deadline := time.Now().Add(10 * time.Second); c.roam.Calls() < 20*(i+1) && time.Now().Before(deadline); {
			<-time.After(time.Millisecond)
		}
		c.reloads(t, tools, step.lines)
		exposed := ""
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
			if _, exposed = get(t, tools, "http://"+c.AdminAddr+"/metrics"); step.up != "" && strings.Contains(exposed, step.up) || step.up == "" && !strings.Contains(exposed, "roamproxy_redis_up") {
				break
			}
		}
		if step.up != "" && !strings.Contains(exposed, step.up) || step.up == "" && strings.Contains(exposed, "roamproxy_redis_up") {
			t.Errorf("after reload %d the metrics do not say %q", i, step.up)
		}
	}
	waiting.Wait()
	if c.roam.Refused() != 0 || c.roam.Calls() != 150 {
		t.Errorf("Roam saw %d calls and refused %d, want 150 and none", c.roam.Calls(), c.roam.Refused())
	}
	for line := range strings.Lines(c.log.String()) {
		if strings.Contains(line, "Redis is unreachable") && !strings.Contains(line, "deadline") { // a busy machine may be slow to answer
			t.Errorf("the log speaks of a Redis that is away: %s", line)
		}
	}
}

// A pause goes along, and what is kept under one Redis is not handed out under another.
func TestAPauseGoesAlongToRedisAndBack(t *testing.T) {
	r := redistest.NewRedis(t)
	c := configure(t, roamtest.Options{}, "")
	tools := client(t)
	c.roam.Script(roamtest.Throttle("30"))
	get(t, tools, "http://"+c.Addr+"/v1/meeting.search", "Prefer", "wait=1")
	for _, lines := range []string{fmt.Sprintf("redis: {url: %s, replicas: 1}\n", r.URL()), ""} {
		c.reloads(t, tools, lines)
		if now := c.QueueState("roam"); !now.Paused || now.PausedFor < 20*time.Second {
			t.Errorf("with %q the line is paused: %v, for %v; want most of 30 s", lines, now.Paused, now.PausedFor)
		}
		if res, _ := get(t, tools, "http://"+c.Addr+"/v1/meeting.search", "Prefer", "wait=0"); res.StatusCode != 429 {
			t.Errorf("with %q a call that does not wait is answered %d, want 429", lines, res.StatusCode)
		}
	}
	if c.roam.Calls() != 1 {
		t.Errorf("Roam saw %d calls, want the one that it refused", c.roam.Calls())
	}
}
