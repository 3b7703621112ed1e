package limiter

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What is foreseen of a line is held against what then happens in it.
func TestWhatIsForeseenHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tools := someTools(t, 4)
		type coming struct {
			tool    Tool
			urgency int
		}
		comings := make([]coming, rapid.IntRange(1, 40).Draw(t, "calls"))
		for i := range comings {
			comings[i] = coming{rapid.SampledFrom(tools).Draw(t, "tool"), rapid.IntRange(0, mildest).Draw(t, "urgency")}
		}
		left := rapid.IntRange(0, len(comings)/2).Draw(t, "left already")
		build := func() *line { // the same line each time
			l := newLine()
			for i, c := range comings {
				l.push(&call{urgency: c.urgency, rank: rank(time.Duration(i)*time.Second, c.urgency)}, c.tool)
				if i%2 == 1 && i/2 < left {
					l.pop()
				}
			}
			return &l
		}

		asker, urgency := rapid.SampledFrom(tools).Draw(t, "asker"), rapid.IntRange(0, mildest).Draw(t, "its urgency")
		same := 0 // calls that may stand for the same turn as one of the asker's
		for _, o := range tools {
			same += (o.Weight + asker.Weight - 1) / asker.Weight
		}
		now, before := build(), 0
		at := rank(time.Minute, urgency)
		for gone := range now.waiting + 1 {
			then := build()
			for range gone {
				then.pop()
			}
			want := gone + then.find(asker, urgency, at).total
			got := now.foresee(asker, urgency, at, gone)
			if got < want || got > want+same || got > now.waiting || got < before {
				t.Fatalf("once %d of %d are gone %d are foreseen to leave before a call of %s, and %d do (%d a call sooner)", gone, now.waiting, got, asker.Name, want, before)
			}
			before = got
		}
		for name, f := range now.lanes {
			for own := range f.calls.Len() {
				then, seen, n := build(), 0, 0
				for {
					if c := then.pop(); c.lane.tool.Name == name {
						if seen++; seen > own {
							break
						}
					}
					n++
				}
				if got := now.until(f, own); got != n {
					t.Fatalf("before call %d of %s %d are foreseen to leave, and %d do", own, name, got, n)
				}
			}
		}
	})
}
