package proxy

import (
	"fmt"
	"testing"
	"time"

	"roamproxy/limiter"
)

// Any Priority and Prefer give an urgency from 0 to 7 and a wait within the limit. Preference-Applied names only a preference that is in
// force.
func FuzzPreferences(f *testing.F) {
	f.Add("u=2", "wait=30")
	f.Add("u=9, i", `respond-async, wait="5"; x=y, wait=7`)
	f.Add("u=-1", "wait=99999999999")
	f.Add("u=1.5;u=2", "WAIT = 0")
	f.Fuzz(func(t *testing.T, priority, prefer string) {
		const most = time.Minute
		w := parsePreferences([]string{priority}, []string{prefer}, limiter.Usual, most)
		if w.urgency < 0 || w.urgency > 7 || w.askedWait < -1 || w.askedWait > most || w.maxWait != most {
			t.Errorf("Priority %q and Prefer %q are read as %+v, want values within the bounds", priority, prefer, w)
		}
		if want := fmt.Sprintf("wait=%d", int(w.askedWait.Seconds())); w.applied != "" && w.applied != want || w.applied == "" &&
			w.askedWait != -1 {
			t.Errorf("Prefer %q gives %v and is answered %q, want the same wait in both", prefer, w.askedWait, w.applied)
		}
		if w != parsePreferences([]string{priority}, []string{prefer, "wait=1"}, limiter.Usual, most) && w.applied != "" {
			t.Errorf("Prefer %q: a second wait counts, want the first alone", prefer)
		}
		if w := parsePreferences(nil, nil, limiter.Usual, most); w.urgency != limiter.Usual || w.askedWait != -1 {
			t.Errorf("a request without preferences has %+v, want the usual urgency and no wait", w)
		}
	})
}
