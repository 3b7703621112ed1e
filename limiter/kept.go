package limiter

import (
	"math"
	"time"
)

// Keeper writes a queue's state down. A failure is the Keeper's to report: calls go on. limiter/quotafile is the one on disk.
type Keeper interface {
	Keep(Kept)
}

// Kept is the state that outlives a process.
type Kept struct {
	Level   float64    `json:"level"`                 // calls that could be sent
	At      time.Time  `json:"at"`                    // by the wall clock, which goes on while the machine does not
	Paused  bool       `json:"paused,omitempty"`      // Roam answered 429, and no probe has succeeded since
	Until   time.Time  `json:"paused_until,omitzero"` // the end of that pause
	Learned AdaptState `json:"learned,omitzero"`      // what is left of the quota for us; its moment by the wall clock
}

// Sound reports whether a queue may have kept k.
func (k Kept) Sound() bool { return k.Level >= 0 && !k.At.IsZero() && k.Learned.Sound(k.At) }

// Sound reports whether s may be the state after a refusal before now. The state that an earlier version wrote has no Hold.
func (s AdaptState) Sound(now time.Time) bool {
	if s.At.IsZero() {
		return s == AdaptState{}
	}
	return s.Rate > 0 && s.Burst > 0 && s.Hold >= 0 && !math.IsInf(s.Rate+s.Burst+s.Hold, 0) && !s.At.After(now)
}

// kept returns the state at now.
func (s *state) kept(now time.Time) Kept {
	wall := time.Now().Round(0) // now is no date
	k := Kept{At: wall, Paused: s.pause.state != PauseOpen, Level: s.bucket.Level(now), Learned: s.bucket.learned}
	if k.Paused {
		k.Until = wall.Add(s.pause.until.Sub(now))
	}
	if !k.Learned.At.IsZero() {
		k.Learned.At = wall.Add(k.Learned.At.Sub(now))
	}
	return k
}

// Restored is what a restart begins with.
type Restored struct {
	Paused  time.Duration // how long Roam's pause still lasts, in the way of Options.Paused
	Learned AdaptState
}

// Restore has b begin at now with the level of k, refilled by the time that has passed since k was true. The rest of k is for Options.
func (k Kept) Restore(b *Local, now time.Time, passed time.Duration) Restored {
	then := k.At.Add(passed)
	b.Restore(now, min(k.Level+k.Learned.tokens(k.At, then, b.Limits()), k.Learned.Limits(then, b.Limits()).Burst))
	r := Restored{Learned: k.Learned}
	if k.Paused {
		if r.Paused = k.Until.Sub(k.At) - passed; r.Paused == 0 {
			r.Paused = -1
		}
	}
	return r
}
