package status

import (
	"cmp"
	"slices"
	"time"
)

// Refusals are the refusals of one tool for one reason.
type Refusals struct {
	Tool   string    `json:"tool"`
	Reason string    `json:"reason"`
	Count  int       `json:"count"` // in the last ten minutes
	Latest time.Time `json:"latest"`
	Last   Call      `json:"last"` // the latest refused call
}

// maxRefusals bounds the remembered pairs of tool and reason: more than a page can show. They take about 200 KiB.
const maxRefusals = 200

// refusals counts by tool and reason, so that many refusals of one tool do not hide those of another.
type refusals map[refusalKey]*refusalGroup

type refusalKey struct{ tool, reason string }

type refusalGroup struct {
	last   Call
	at     time.Time // when the last one was answered
	recent rolling
}

// add counts a refusal. Beyond maxRefusals, it removes the pair whose latest refusal is the oldest.
func (r refusals) add(c Call, now time.Time) {
	key := refusalKey{c.Tool, c.Reason}
	g := r[key]
	if g == nil {
		if len(r) >= maxRefusals {
			delete(r, r.oldest())
		}
		g = &refusalGroup{}
		r[key] = g
	}
	g.last, g.at = c, now
	g.recent.at(now).Refused++
}

func (r refusals) oldest() (key refusalKey) {
	var at time.Time
	for k, g := range r {
		if at.IsZero() || g.at.Before(at) {
			key, at = k, g.at
		}
	}
	return key
}

// list returns the refusals of the last ten minutes, the latest first.
func (r refusals) list(now time.Time) (all []Refusals) {
	for key, g := range r {
		if n := g.recent.sum(now).Refused; n > 0 {
			all = append(all, Refusals{Tool: key.tool, Reason: key.reason, Count: n, Latest: g.at, Last: g.last})
		}
	}
	slices.SortFunc(all, func(a, b Refusals) int {
		return cmp.Or(b.Latest.Compare(a.Latest), cmp.Compare(a.Tool, b.Tool), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}
