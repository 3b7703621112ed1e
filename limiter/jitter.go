package limiter

import "time"

// delay is how long a call took from its permit to Roam, as far as it is known.
type delay struct {
	stall time.Duration // from the permit until the request was written: this process or machine was busy
	way   time.Duration // from there to the first byte of the response: the network, and Roam's own work
}

// delays are the latest ones, and the longest since Roam's bucket was full. While the calls of a burst are on their way to Roam, its
// bucket is full and earns nothing. Calls that are faster find that many tokens fewer, until it is full again. So as many are held
// back. The setting jitter is held back anyway.
type delays struct {
	latest  [delaysSize]delay
	seen    int
	written bool // it is reported when a request was written
	longest time.Duration
}

const (
	// A minute of a quota of one call a second.
	delaysSize = 64
	// A longer way is Roam's own work, and not the network's doing. A longer stall counts as this long.
	mostDelay = time.Second
)

func (d *delays) add(one delay) {
	d.latest[d.seen%delaysSize] = one
	d.seen++
	d.longest = max(d.longest, one.counted())
}

// counted returns the time from a permit to the first byte of the response that may be the machine's and the network's doing. It
// counts whole: how much of it every call takes is not known while the first ones are on their way.
func (d delay) counted() time.Duration {
	if d.way > mostDelay {
		d.way = 0
	}
	return min(d.stall+d.way, mostDelay)
}

// width returns how far these times are apart.
func (d *delays) width() time.Duration {
	if d.seen == 0 {
		return 0
	}
	fastest, slowest := mostDelay, time.Duration(0)
	for _, one := range d.latest[:min(d.seen, delaysSize)] {
		if one.way > mostDelay {
			continue
		}
		fastest, slowest = min(fastest, one.counted()), max(slowest, one.counted())
	}
	return max(slowest-fastest, 0)
}

// margin returns how many tokens are held back at now beside the setting's: for the longest delay since the bucket was full, and for
// calls that have a permit and are not written yet.
func (s *state) margin(now time.Time) float64 {
	most := s.delays.longest
	for _, p := range s.inFlight {
		if p.written.IsZero() && s.delays.written {
			most = max(most, min(now.Sub(p.left), mostDelay))
		}
	}
	limits := s.bucket.Limits(now)
	return max(min(limits.Rate*(most-s.Jitter).Seconds(), (limits.Burst-1)/2), 0)
}
