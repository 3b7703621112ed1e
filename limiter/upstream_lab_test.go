package limiter_test

import (
	"cmp"
	"context"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// lab is one upstream in simulated time, and what has come to it. It is the http.RoundTripper below the limiter.
type lab struct {
	rate       float64 // of the whole quota
	burst      float64
	retryAfter retryAfter

	mu       sync.Mutex    // guards the following
	latency  time.Duration // of the network, each way; up to a twentieth more or less
	random   *rand.Rand
	upstream upstream
	refusing int // calls that it will refuse without a reason
	admitted []time.Time
	refused  []time.Time
	foreign  int // admitted calls of the other client
}

// retryAfter says what the upstream writes into a 429.
type retryAfter string

const (
	trueWait  retryAfter = "true Retry-After"
	tenAlways retryAfter = "Retry-After 10" // as Roam does
	noHeader  retryAfter = "no Retry-After"
)

// loopback is a latency, each way, at which calls still overtake each other.
const loopback = 2 * time.Millisecond

func newLab(m model, header retryAfter, seed uint64) *lab {
	r := rand.New(rand.NewPCG(seed, 21))
	rate, burst := cmp.Or(m.rate, modelRate), cmp.Or(m.burst, modelBurst)
	return &lab{rate: rate, burst: burst, retryAfter: header, latency: loopback / 2, random: r, upstream: m.build(r)}
}

// network returns how long one way takes.
func (l *lab) network() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(float64(l.latency)*(0.95+0.1*l.random.Float64()) + float64(loopback)*l.random.Float64())
}

// RoundTrip takes a call to the upstream and its answer back.
func (l *lab) RoundTrip(req *http.Request) (*http.Response, error) {
	time.Sleep(l.network())
	admitted, after, takes := l.decide()
	time.Sleep(takes)
	if admitted {
		l.release()
	}
	time.Sleep(l.network())
	res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: req}
	if !admitted {
		res.StatusCode = http.StatusTooManyRequests
		switch l.retryAfter {
		case trueWait:
			res.Header.Set("Retry-After", strconv.Itoa(max(int(math.Ceil(after.Seconds())), 1)))
		case tenAlways:
			res.Header.Set("Retry-After", "10")
		}
	}
	return res, nil
}

// decide is the arrival of one of our calls.
func (l *lab) decide() (admitted bool, retryAfter, takes time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.refusing > 0 {
		l.refusing--
	} else if admitted, retryAfter = l.upstream.admit(now, l.random); admitted {
		if d, ok := l.upstream.(delayer); ok {
			takes = d.delay(now)
		}
		l.admitted = append(l.admitted, now)
		return true, 0, takes
	}
	l.refused = append(l.refused, now)
	return false, retryAfter, 0
}

// refuseNext has the upstream refuse one more of our calls, whatever it has left.
func (l *lab) refuseNext() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusing++
}

// slow has the network take such a latency from now on.
func (l *lab) slow(latency time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latency = latency
}

func (l *lab) release() {
	if r, ok := l.upstream.(releaser); ok {
		l.mu.Lock()
		r.release()
		l.mu.Unlock()
	}
}

// compete is one call of the other client. It reports whether the upstream admitted it.
func (l *lab) compete() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	admitted, _ := l.upstream.admit(time.Now(), l.random)
	if admitted {
		l.foreign++
		time.AfterFunc(500*time.Millisecond, l.release)
	}
	return admitted
}

// trouble empties the upstream and then asks at random moments, three times as often as the rate allows, for so long.
func (l *lab) trouble(lasts time.Duration) {
	end := time.Now().Add(lasts)
	for l.compete() {
	}
	for time.Now().Before(end) {
		time.Sleep(l.exponential(inSeconds(1 / l.rate / 3)))
		l.compete()
	}
}

// steady spends a share of the rate until the context ends. A refused call is repeated every 10 ms until it is admitted.
func (l *lab) steady(ctx context.Context, share float64) {
	for ctx.Err() == nil {
		for !l.compete() && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		l.mu.Lock()
		gap := 0.9 + 0.2*l.random.Float64()
		l.mu.Unlock()
		sleep(ctx, inSeconds(gap/share/l.rate))
	}
}

// groups spends a share of the rate until the context ends, so many calls at once at random moments. A refused call is given up.
func (l *lab) groups(ctx context.Context, share float64, atOnce int) {
	for ctx.Err() == nil {
		sleep(ctx, l.exponential(inSeconds(float64(atOnce)/share/l.rate)))
		for range atOnce {
			l.compete()
		}
	}
}

// exponential is a random time with such a mean.
func (l *lab) exponential(mean time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(float64(mean) * l.random.ExpFloat64())
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// between counts the times from from until before to.
func between(times []time.Time, from, to time.Time) float64 {
	n := 0
	for _, t := range times {
		if !t.Before(from) && t.Before(to) {
			n++
		}
	}
	return float64(n)
}
