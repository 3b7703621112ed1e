// Package buckettest holds what every limiter.Bucket has to do, for the tests of each.
package buckettest

import (
	"testing"
	"time"

	"roamproxy/limiter"
)

// Run checks a bucket of 1 call a second and 3 at once that begins full. advance lets its time pass. A bucket whose clock is not
// the test's own may be this much ahead of what is wanted.
func Run(t *testing.T, b limiter.Bucket, advance func(time.Duration), ahead time.Duration) {
	t.Helper()
	suite{t, b, advance, ahead}.run()
}

type suite struct {
	*testing.T
	b       limiter.Bucket
	advance func(time.Duration)
	ahead   time.Duration
}

func (s suite) run() {
	s.Helper()
	if is := s.b.Limits(); is != (limiter.Limits{Rate: 1, Burst: 3}) {
		s.Errorf("limits are %v, want 1 and 3", is)
	}
	s.level(3)
	for range 3 {
		s.take(0)
	}
	s.take(time.Second) // a wait costs no token, so Take may be called again
	s.take(time.Second)
	s.advance(400 * time.Millisecond)
	s.take(600 * time.Millisecond)
	s.advance(600 * time.Millisecond)
	s.take(0)
	s.b.Return(time.Now())
	s.take(0)
	s.advance(time.Hour)
	s.level(3)
	s.b.Return(time.Now()) // into a full bucket
	s.level(3)
	s.take(0)
	wait := s.b.Take(time.Now(), limiter.Demand{Reserve: 0.5, Margin: 1})
	if want := 500 * time.Millisecond; wait > want || wait < want-s.ahead {
		s.Errorf("with 1.5 tokens to be left the wait is %v, want %v", wait, want)
	}
	s.level(2)
	s.take(0)
	s.take(0)
	s.take(time.Second)
}

func (s suite) take(want time.Duration) {
	s.Helper()
	if got := s.b.Take(time.Now(), limiter.Demand{}); got > want || got < want-2*s.ahead {
		s.Errorf("the wait is %v, want %v", got, want)
	}
}

func (s suite) level(want float64) {
	s.Helper()
	if got := s.b.Level(time.Now()); got < want-1e-6 || got > want+s.ahead.Seconds()+1e-6 {
		s.Errorf("the level is %v, want %v", got, want)
	}
}
