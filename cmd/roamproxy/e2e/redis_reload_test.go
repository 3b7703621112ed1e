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

// While calls are queued, reloads share the quota, share it elsewhere, and end the sharing. Roam refuses no call.
func TestAReloadSharesTheQuotaAndEndsIt(t *testing.T) {
	here, there := redistest.NewRedis(t), redistest.NewRedis(t)
	const fast = "quotas: [{name: roam, rate: 20, burst: 10, jitter: 300ms}]\n" // six of ten are held back, and four are sent at once
	shared := func(r *redistest.Redis, prefix string) string {
		return fmt.Sprintf("%sredis: {url: %s, prefix: %s, replicas: 1}\n", fast, r.URL(), prefix)
	}
	c := startReloadable(t, roamtest.Options{Rate: 20}, fast)
	tools := client(t)
	var waiting sync.WaitGroup
	for range 150 {
		waiting.Go(func() {
			if got := post(tools, "http://"+c.Addr); got != 200 {
				t.Errorf("a call that was queued during reloads was answered %d, want 200", got)
			}
		})
	}
	for i, step := range []struct {
		lines string
		up    string // the metric; "": there is none
	}{
		{shared(here, "one"), "roamproxy_redis_up 1"},
		{shared(here, "two"), "roamproxy_redis_up 1"},
		{shared(there, "two"), "roamproxy_redis_up 1"},
		{fast, ""},
		{shared(there, "two"), "roamproxy_redis_up 1"},
	} {
		eventually(t, "twenty more calls", func() bool { return c.roam.Calls() >= 20*(i+1) })
		c.reloads(t, tools, step.lines)
		eventually(t, fmt.Sprintf("after reload %d the metrics say %q", i, step.up), func() bool {
			_, exposed := get(t, tools, "http://"+c.AdminAddr+"/metrics")
			return strings.Contains(exposed, "roamproxy_redis_up ") == (step.up != "") && strings.Contains(exposed, step.up)
		})
	}
	waiting.Wait()
	if c.roam.Refused() != 0 || c.roam.Calls() != 150 {
		t.Errorf("Roam saw %d calls and refused %d, want 150 and none", c.roam.Calls(), c.roam.Refused())
	}
	for line := range strings.Lines(c.log.String()) {
		if strings.Contains(line, "Redis is unreachable") && !strings.Contains(line, "deadline") { // a busy machine may be slow to answer
			t.Errorf("the log has %q, want no loss of Redis but by a deadline", line)
		}
	}
}

// A pause stays in force when a reload begins or ends the sharing.
func TestAPauseIsKeptWhenSharingBeginsAndEnds(t *testing.T) {
	r := redistest.NewRedis(t)
	c := startReloadable(t, roamtest.Options{}, "")
	tools := client(t)
	c.roam.Script(roamtest.Throttle("30"))
	get(t, tools, "http://"+c.Addr+"/v1/meeting.search", "Prefer", "wait=1")
	for _, lines := range []string{fmt.Sprintf("redis: {url: %s, replicas: 1}\n", r.URL()), ""} {
		c.reloads(t, tools, lines)
		if now := c.QueueState("roam"); !now.Paused || now.PausedFor < 20*time.Second {
			t.Errorf("with %q the queue is paused: %v, for %v; want most of 30 s", lines, now.Paused, now.PausedFor)
		}
		if res, _ := get(t, tools, "http://"+c.Addr+"/v1/meeting.search", "Prefer", "wait=0"); res.StatusCode != 429 {
			t.Errorf("with %q a call that does not wait is answered %d, want 429", lines, res.StatusCode)
		}
	}
	if c.roam.Calls() != 1 {
		t.Errorf("Roam saw %d calls, want the one that it refused", c.roam.Calls())
	}
}
