package budget

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// commonDay is a SharedCounts in memory: the calls of a day that several replicas count together.
type commonDay struct {
	used map[string]int
	away error
}

func (d *commonDay) Spend(day, tool string, limit, unreported, known int) (int, bool, error) {
	if d.away != nil {
		return 0, false, d.away
	}
	key := day + tool
	if _, there := d.used[key]; !there {
		d.used[key] = known
	}
	d.used[key] += unreported
	if d.used[key] >= limit {
		return d.used[key], false, nil
	}
	d.used[key]++
	return d.used[key], true, nil
}

func TestReplicasShareTheCallsOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		common := &commonDay{used: map[string]int{}}
		replica := func() *Counts {
			b, err := Open(stateDir(t, t.TempDir()))
			if err != nil {
				t.Fatal(err)
			}
			b.Share(common)
			return b
		}
		one, two := replica(), replica()
		calls := func(b *Counts, times int) (made int) {
			for range times {
				if b.Reserve("bot", 10) == nil && b.Spend("bot", 10, true) == nil {
					made++
				}
			}
			return made
		}
		for _, step := range []struct {
			name     string
			of       *Counts
			away     error
			times    int
			want     int
			midnight bool
		}{
			{"one makes four", one, nil, 4, 4, false},
			{"two makes three", two, nil, 3, 3, false},
			{"one makes another while the store is unreachable", one, errors.New("away"), 1, 1, false},
			{"two makes one of the two that the store knows to be left", two, nil, 1, 1, false},
			{"one makes the last, and reports its earlier one", one, nil, 5, 1, false},
			{"and two none", two, nil, 5, 0, false},
			{"the day after, ten again", two, nil, 12, 10, true},
		} {
			if step.midnight {
				time.Sleep(24 * time.Hour)
			}
			common.away = step.away
			if got := calls(step.of, step.times); got != step.want {
				t.Errorf("%s: %d of %d calls were made, want %d", step.name, got, step.times, step.want)
			}
		}
	})
}

// A replica that begins to share adds what it counted alone. One that ends to share continues with the count of all.
func TestCountsContinueWhenSharingBeginsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := Open(stateDir(t, t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		calls := func(times int) (made int) {
			for range times {
				if b.Reserve("bot", 10) == nil && b.Spend("bot", 10, true) == nil {
					made++
				}
			}
			return made
		}
		common := &commonDay{used: map[string]int{dayOf(time.Now()) + "bot": 3}}
		calls(4)
		b.Share(common)
		if got := calls(1); got != 1 || common.used[dayOf(time.Now())+"bot"] != 8 {
			t.Errorf("after three of others, four alone and %d together the count is %d, want 8", got, common.used[dayOf(time.Now())+"bot"])
		}
		b.Share(nil)
		if got := calls(5); got != 2 {
			t.Errorf("alone again %d of 5 calls were made, want the 2 that are left", got)
		}
	})
}
