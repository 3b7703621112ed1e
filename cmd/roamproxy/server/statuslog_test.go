package server

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/metrics"
	"roamproxy/metrics/status"
)

func TestAChangeIsLoggedOnce(t *testing.T) {
	quota := func(paused bool, throttled int) status.Status {
		return status.Status{Quotas: []status.QuotaStatus{{Name: "roam", Paused: paused, PausedFor: 10, LastPause: 12.3, Throttled: throttled}}}
	}
	rate := func(is, configured float64) status.Status {
		return status.Status{Quotas: []status.QuotaStatus{{Name: "roam", Rate: is, Configured: configured}}}
	}
	shared := func(replicas int, rate float64) status.Status {
		return status.Status{Quotas: []status.QuotaStatus{{Name: "roam", Rate: rate, Configured: 1, Shared: true, Replicas: replicas}}}
	}
	check := func(problem string) status.Status {
		return status.Status{Checks: []metrics.CheckResult{{Name: "credential org", OK: problem == "", Problem: problem}}}
	}
	for _, tt := range []struct {
		name        string
		before, now status.Status
		want        []string
	}{
		{"nothing", quota(false, 3), quota(false, 3), nil},
		{"a pause begins", quota(false, 0), quota(true, 1), []string{"WARN paused: Roam answered 429"}},
		{"it continues", quota(true, 1), quota(true, 2), nil},
		{"it ends", quota(true, 2), quota(false, 2), []string{"INFO the pause has ended"}},
		{"one between two looks", quota(false, 2), quota(false, 3), []string{"WARN Roam answered 429, and accepted a call soon after"}},
		{"a quota that is new", status.Status{}, quota(true, 1), nil},
		{"the rate falls", rate(1, 1), rate(0.5, 1), []string{"WARN the rate is reduced"}},
		{"it falls again", rate(0.5, 1), rate(0.25, 1), []string{"WARN the rate is reduced"}},
		{"it creeps back", rate(0.25, 1), rate(0.26, 1), nil},
		{"it is back", rate(0.99, 1), rate(1, 1), []string{"INFO the rate is the configured one again"}},
		{"a reload makes it smaller", rate(1, 1), rate(0.5, 0.5), nil},
		{"Redis is unreachable", shared(2, 1), shared(0, 0.5), nil},
		{"meanwhile the share falls", shared(0, 0.5), shared(0, 0.25), []string{"WARN the rate is reduced"}},
		{"Redis is back", shared(0, 0.5), shared(2, 1), nil},
		{"the rate of all replicas falls", shared(2, 1), shared(2, 0.5), []string{"WARN the rate is reduced"}},
		{"roamproxy stops", check(""), status.Status{Checks: []metrics.CheckResult{{Name: metrics.Stopping, Problem: "stopping"}}}, nil},
		{"a credential is refused", check(""), check("401"), []string{"ERROR not ready: an operator must fix this"}},
		{"it is still", check("401"), check("401"), nil},
		{"it is for another reason", check("401"), check("unreadable"), []string{"ERROR still not ready"}},
		{"it is well again", check("401"), check(""), []string{"INFO ready again"}},
		{"it never was well", status.Status{}, check("401"), []string{"ERROR not ready"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, c := range statusChanges(tt.before, tt.now) {
				got = append(got, c.level.CapitalString()+" "+c.text)
			}
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("logged %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAFloodOfCallsIsSampled(t *testing.T) {
	var out bytes.Buffer
	log := NewLog(config.Log{Level: "info", Format: "json"}, &out)
	dropped := 0
	access := sampled(log.Logger, func() { dropped++ })
	for range 1000 {
		access.Info("call")
	}
	access.Warn("call")
	log.Info("paused")
	lines := strings.Count(out.String(), `"call"`)
	if lines+dropped != 1001 || lines < 109 || lines > 2*109 { // the thousand may fall into two seconds
		t.Errorf("%d lines of 1001 were written and %d dropped; want the first hundred, one of a hundred of the rest, and the warning",
			lines, dropped)
	}
	if !strings.Contains(out.String(), `"warn"`) || !strings.Contains(out.String(), "paused") {
		t.Error("the warning or the change of state was left out")
	}
	out.Reset()
	log.configure(config.Log{Level: "warn", Format: "json"})
	access.Info("call")
	if log.Info("call"); out.Len() > 0 {
		t.Errorf("with the level raised, there is %q", out.String())
	}
}

// Seen to fail with a queue that is never stuck.
func TestAStuckQueueIsReported(t *testing.T) {
	for _, tt := range []struct {
		oldest time.Duration
		want   bool
	}{{0, false}, {time.Minute, false}, {70 * time.Second, false}, {71 * time.Second, true}} {
		t.Run(tt.oldest.String(), func(t *testing.T) {
			if err := stuck(tt.oldest, time.Minute); (err != nil) != tt.want {
				t.Errorf("%v with a longest wait of a minute, want stuck = %v", err, tt.want)
			} else if err != nil && !strings.Contains(fmt.Sprint(err), "restart roamproxy") {
				t.Errorf("%v does not say what to do", err)
			}
		})
	}
}
