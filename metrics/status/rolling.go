package status

import "time"

// The last ten minutes are counted in slots of a minute: long enough to show a habit, short enough to show what is going on.
const (
	slot  = time.Minute
	slots = 10
)

// Counts is what happened in some time.
type Counts struct {
	Calls   int           `json:"calls"` // requests of tools that were answered
	Hit     int           `json:"hit"`
	Miss    int           `json:"miss"`
	Shared  int           `json:"shared"`
	Stale   int           `json:"stale"`
	Bypass  int           `json:"bypass"`
	Paged   int           `json:"paged"`   // of hit and shared: what only a wide page made possible
	Refused int           `json:"refused"` // by roamproxy
	Failed  int           `json:"failed"`  // answered 5xx
	Sent    int           `json:"sent"`    // turns in the line, each of which is a call to Roam
	Waited  time.Duration `json:"-"`       // of those, together
	Longest time.Duration `json:"-"`       // of those
}

// Saved is how many calls Roam did not have to answer.
func (c Counts) Saved() int { return c.Hit + c.Shared + c.Stale }

func (c *Counts) add(d Counts) {
	c.Calls += d.Calls
	c.Hit += d.Hit
	c.Miss += d.Miss
	c.Shared += d.Shared
	c.Stale += d.Stale
	c.Bypass += d.Bypass
	c.Paged += d.Paged
	c.Refused += d.Refused
	c.Failed += d.Failed
	c.Sent += d.Sent
	c.Waited += d.Waited
	c.Longest = max(c.Longest, d.Longest)
}

// rolling is the Counts of the last ten minutes. Its owner guards it.
type rolling struct {
	slots [slots]Counts
	last  int64 // the slot that was written last, counted from the epoch
}

// at is the slot of a moment. The slots between the last one and this are over.
func (r *rolling) at(now time.Time) *Counts {
	n := now.Unix() / int64(slot/time.Second)
	for ; r.last < n; r.last++ {
		if n-r.last > slots {
			r.last = n - slots
		}
		r.slots[(r.last+1)%slots] = Counts{}
	}
	return &r.slots[n%slots]
}

func (r *rolling) sum(now time.Time) (all Counts) {
	r.at(now)
	for _, c := range r.slots {
		all.add(c)
	}
	return all
}
