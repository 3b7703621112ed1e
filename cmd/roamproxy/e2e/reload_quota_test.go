package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"roamproxy/proxy/roamtest"
)

func TestAReloadChangesAQuotaWhileCallsAreQueued(t *testing.T) {
	const slow, fast = "quotas: [{name: roam, rate: 0.05, burst: 2, max_wait: 2m}]\n",
		"quotas: [{name: roam, rate: 100, burst: 10, jitter: 10ms, max_queue: 7}]\n"
	c := startReloadable(t, roamtest.Options{Rate: 100}, slow)
	tools := client(t)
	post(tools, "http://"+c.Addr)
	var waiting sync.WaitGroup
	waiting.Go(func() { floods(t, tools, "http://"+c.Addr, 4) })
	queued := func() (n int) {
		for _, of := range c.QueueState("roam").Waiting {
			n += of
		}
		return n
	}
	eventually(t, "three calls are queued", func() bool { return queued() >= 3 })
	level := c.QueueState("roam").Tokens
	c.reloads(t, tools, fast)
	if level > 1 {
		t.Errorf("%v tokens were there while calls were queued, want at most 1", level)
	}
	waiting.Wait() // at the old rate this is a minute
	if s := c.QueueState("roam"); s.Rate != 100 || s.Capacity != 7 || c.roam.Refused() != 0 {
		t.Errorf("the queue has a rate of %v and a capacity of %d, and Roam refused %d; want 100, 7 and none", s.Rate, s.Capacity,
			c.roam.Refused())
	}
}

// Seen to fail with a reload that ends the pause.
func TestAPauseOutlastsAReload(t *testing.T) {
	c := startReloadable(t, roamtest.Options{}, "")
	tools := client(t)
	c.roam.Script(roamtest.Throttle("30"))
	get(t, tools, "http://"+c.Addr+"/v1/meeting.search", "Prefer", "wait=1")
	before := c.QueueState("roam")
	c.reloads(t, tools, "browsers: [http://localhost:3000]\nquotas: [{name: roam, rate: 2}]\n")
	if now := c.QueueState("roam"); !before.Paused || !now.Paused || now.PausedFor < 20*time.Second {
		t.Errorf("paused %v before and %v for %v after the reload, want both, and most of 30 s", before.Paused, now.Paused, now.PausedFor)
	}
}

func TestAReloadAddsAndRemovesQuotas(t *testing.T) {
	c := startReloadable(t, roamtest.Options{Keys: []string{roamtest.DefaultKey, "second"}}, "")
	tools, base := client(t), "http://"+c.Addr
	floods(t, tools, base, 5) // Roam counts one quota, and accepts ten at once
	c.reloads(t, tools, "credentials: [{name: alice, api_key: second, quota: hers}]\nquotas: [{name: hers}]\n")
	if got := post(tools, base); got != 200 {
		t.Errorf("a call on the new quota was answered %d, want 200", got)
	}
	_, exposed := get(t, tools, "http://"+c.AdminAddr+"/metrics")
	if !strings.Contains(exposed, `roamproxy_quota_tokens{quota="hers"}`) ||
		strings.Contains(exposed, `roamproxy_credential_ok{credential="org"}`) {
		t.Error("the metrics do not follow the configuration")
	}
	c.reloads(t, tools, "")                                // back while the first is still draining: the level is what it was
	if level := c.QueueState("roam").Tokens; level > 9.7 { // more would take a machine that stands still for five seconds
		t.Errorf("the first quota is back with %v tokens, want what it had", level)
	}
	floods(t, tools, base, 4)
	if c.roam.Refused() != 0 {
		t.Errorf("Roam refused %d calls, want none", c.roam.Refused())
	}
}

func TestAReloadRefusesNoQueuedCall(t *testing.T) {
	const fast = "quotas: [{name: roam, rate: 50, burst: 10, jitter: 150ms}]\n"
	c := startReloadable(t, roamtest.Options{Rate: 50}, fast)
	tools := client(t)
	var waiting sync.WaitGroup
	call := func() {
		if got := post(tools, "http://"+c.Addr); got != 200 {
			t.Errorf("a call that was queued during reloads was answered %d, want 200", got)
		}
	}
	for range 100 {
		waiting.Go(call)
	}
	for i := range 9 {
		eventually(t, "ten more calls", func() bool { return c.roam.Calls() >= 10*(i+1) })
		c.reloads(t, tools, fmt.Sprintf("%scache: {max_size: %dMiB}\n", fast, 10+i))
		for range 10 { // new calls are in the same queue
			waiting.Go(call)
		}
	}
	waiting.Wait()
	if c.roam.Refused() != 0 || c.roam.Calls() != 190 {
		t.Errorf("Roam saw %d calls and refused %d, want 190 and none", c.roam.Calls(), c.roam.Refused())
	}
}
