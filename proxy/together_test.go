package proxy

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// commonDay is what several replicas count in common.
type commonDay struct {
	used map[string]int
	away error
}

func (d *commonDay) Spend(day, tool string, most, untold, known int) (int, bool, error) {
	if d.away != nil {
		return 0, false, d.away
	}
	key := day + tool
	if _, there := d.used[key]; !there {
		d.used[key] = known
	}
	d.used[key] += untold
	if d.used[key] >= most {
		return d.used[key], false, nil
	}
	d.used[key]++
	return d.used[key], true, nil
}

func TestReplicasShareTheCallsOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		common := &commonDay{used: map[string]int{}}
		replica := func() *Budgets {
			b, err := OpenBudgets(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			b.Share(common)
			return b
		}
		one, two := replica(), replica()
		calls := func(b *Budgets, times int) (made int) {
			for range times {
				if b.reserve("bot", 10) == nil && b.spend("bot", 10, true) == nil {
					made++
				}
			}
			return made
		}
		for _, step := range []struct {
			name     string
			of       *Budgets
			away     error
			times    int
			want     int
			midnight bool
		}{
			{"one makes four", one, nil, 4, 4, false},
			{"two makes three", two, nil, 3, 3, false},
			{"one makes another, without being able to say so", one, errors.New("away"), 1, 1, false},
			{"there are two left for two, who hears of one's last only when one is heard", two, nil, 1, 1, false},
			{"one has one left, whatever it tries", one, nil, 5, 1, false},
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
