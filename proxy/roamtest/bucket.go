package roamtest

import (
	"math/big"
	"time"
)

// bucket counts a quota exactly, in parts of a token. At a rate of p/q calls a second, a token has q × 10⁹ parts and a nanosecond adds p.
// So nothing is ever rounded.
type bucket struct {
	perNano, token, burst int64 // in parts
	parts                 int64
	last                  time.Time
}

// ratePrecision is the denominator to which a rate is rounded: a rate is exact to a thousandth of a call a second.
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

// Tokens returns how many calls Roam would admit now.
func (r *Roam) Tokens() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bucket.level(time.Now())
}

// Spend simulates another client that makes up to n calls on the same quota. It returns how many were admitted.
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
