package roamtest

import (
	"math/big"
	"time"
)

// bucket counts a quota exactly. A token is a whole number of parts and each nanosecond brings a whole number of parts, so
// nothing is ever rounded: with a rate of p/q calls a second a token is q × 10⁹ parts and a nanosecond brings p.
type bucket struct {
	perNano, token, burst int64 // in parts
	parts                 int64
	last                  time.Time
}

// A rate is taken as a fraction of at most this denominator; 1/3, 0.05 and 40 are all exact to it.
const ratePrecision = 1_000

func newBucket(rate float64, burst int) bucket {
	fraction := new(big.Rat).SetFrac64(int64(rate*ratePrecision+0.5), ratePrecision)
	b := bucket{perNano: max(fraction.Num().Int64(), 1), token: fraction.Denom().Int64() * int64(time.Second)}
	b.burst = b.token * int64(burst)
	b.parts, b.last = b.burst, time.Now()
	return b
}

func (b *bucket) refill(now time.Time) {
	elapsed := int64(now.Sub(b.last))
	if elapsed <= 0 {
		return
	}
	b.last = now
	if missing := b.burst - b.parts; elapsed >= missing/b.perNano+1 {
		b.parts = b.burst
	} else {
		b.parts = min(b.parts+elapsed*b.perNano, b.burst)
	}
}

// take spends a token if a whole one is there. A refusal costs nothing.
func (b *bucket) take(now time.Time) bool {
	b.refill(now)
	if b.parts < b.token {
		return false
	}
	b.parts -= b.token
	return true
}

func (b *bucket) level(now time.Time) float64 {
	b.refill(now)
	return float64(b.parts) / float64(b.token)
}

// Tokens is how many calls could come now, for a live picture.
func (r *Roam) Tokens() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bucket.level(time.Now())
}

// Spend lets somebody else make up to n calls on the same quota, and tells how many were let through.
func (r *Roam) Spend(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	spent := 0
	for spent < n && r.bucket.take(time.Now()) {
		spent++
	}
	return spent
}

// Limit changes the quota. The bucket starts full.
func (r *Roam) Limit(rate float64, burst int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bucket = newBucket(rate, burst)
}
