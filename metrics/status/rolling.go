package status

import "time"

// minutes is how many minutes are counted, each by itself: enough to show a tendency, and few enough to show the present.
const minutes = 10

// Counts are the requests and calls of a period.
type Counts struct {
	Calls   int           `json:"calls"` // requests of tools that were answered
	Hit     int           `json:"hit"`
	Miss    int           `json:"miss"`
	Shared  int           `json:"shared"`
	Stale   int           `json:"stale"`
	Bypass  int           `json:"bypass"`
	Paged   int           `json:"paged"`   // part of hit and shared: cut out of a cached wide page
	Refused int           `json:"refused"` // by roamproxy
	Failed  int           `json:"failed"`  // answered 5xx
	Sent    int           `json:"sent"`    // calls to Roam
	Waited  time.Duration `json:"-"`       // sum of the waits of sent calls
	Longest time.Duration `json:"-"`       // longest wait of a sent call
}

// Saved returns how many calls Roam did not have to answer.
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

// rolling is the Counts of the last ten minutes. It is not safe for concurrent use.
type rolling struct {
	minutes [minutes]Counts
	last    int64 // the minute of the latest change, since 1970
}

// at returns the counts of the minute of now, and clears the minutes since the latest change.
func (r *rolling) at(now time.Time) *Counts {
	n := now.Unix() / int64(time.Minute/time.Second)
	for ; r.last < n; r.last++ {
		if n-r.last > minutes {
			r.last = n - minutes
		}
		r.minutes[(r.last+1)%minutes] = Counts{}
	}
	return &r.minutes[n%minutes]
}

func (r *rolling) sum(now time.Time) (all Counts) {
	r.at(now)
	for _, c := range r.minutes {
		all.add(c)
	}
	return all
}
