package redisquota

import (
	"sync"
	"sync/atomic"
	"testing"

	"roamproxy/proxy/roamtest/redistest"
)

func TestCallsOfADayAreCountedForAllReplicas(t *testing.T) {
	r := redistest.NewRedis(t)
	fleets := []*Session{replica(t, r, 2), replica(t, r, 2)}
	for _, f := range fleets {
		joined(t, f)
	}
	var made atomic.Int64
	var all sync.WaitGroup
	for _, f := range fleets {
		for range 5 {
			all.Go(func() {
				for range 10 {
					if _, ok, err := f.Spend("2026-01-05", "bot", 30, 0, 0); err == nil && ok {
						made.Add(1)
					}
				}
			})
		}
	}
	all.Wait()
	if got := made.Load(); got != 30 {
		t.Errorf("two replicas made %d calls, want 30 in all", got)
	}
	for _, step := range []struct {
		name              string
		tool              string
		unreported, known int
		used              int
		ok                bool
	}{
		{"calls made while Redis was away count", "exporter", 4, 0, 5, true},
		{"and so does what others made", "exporter", 0, 0, 6, true},
		{"a day that was lost goes on where the replica knows it", "bridge", 2, 20, 23, true},
		{"and no further than it may", "bridge", 7, 0, 30, false},
	} {
		until(t, step.name, func() bool {
			used, ok, err := fleets[0].Spend("2026-01-05", step.tool, 30, step.unreported, step.known)
			if err == nil && (used != step.used || ok != step.ok) {
				t.Errorf("%s: used %d, may = %v; want %d and %v", step.name, used, ok, step.used, step.ok)
			}
			return err == nil
		})
	}
}
