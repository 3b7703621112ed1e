package limiter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"roamproxy/limiter/bootclock"
	"roamproxy/limiter/statefile"
)

// Keeper writes a queue's state down. A failure is the Keeper's to report: calls go on.
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

	// By these At is checked on the same run of the machine, where the clock may have been set. A StateFile adds them.
	Boot string        `json:"boot,omitempty"`
	Up   time.Duration `json:"up,omitempty"`
}

// stateVersion is the version of the state as it is written. The first version, without what is learned, is read as well.
const stateVersion = 2

// passed returns how long before now k was true. In doubt it returns less, since a bucket that is refilled too much causes a 429.
func (k Kept) passed(now time.Time) time.Duration {
	passed := now.Round(0).Sub(k.At)
	if boot := bootclock.Boot(); boot != "" && k.Boot == boot {
		passed = min(passed, max(bootclock.Uptime(now)-k.Up, 0))
	}
	return passed
}

func decodeState(body []byte) (k Kept, err error) {
	if err := json.Unmarshal(body, &k); err != nil || k.Level < 0 || k.At.IsZero() || !k.Learned.Sound(k.At) {
		return k, errors.New("is damaged")
	}
	return k, nil
}

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

// StateFile is the Keeper on disk: a statefile.Record of each state, written in 10 µs (BenchmarkKeep).
type StateFile struct{ record *statefile.Record }

var _ Keeper = (*StateFile)(nil)

// OpenState names the file in which a quota's state is kept, and tries whether it can be written. Where it cannot, Err says so at
// once and Restore finds an empty bucket.
func OpenState(dir *statefile.Dir, quota string) *StateFile {
	return &StateFile{dir.Record("quota-"+quota+".state", stateVersion)}
}

// Restored is what a restart begins with.
type Restored struct {
	Paused  time.Duration // how long Roam's pause still lasts, in the way of Options.Paused
	Learned AdaptState
}

// Restore sets the bucket's level to what the file says, refilled by the time since, also where the wall clock was put forward
// meanwhile. Without a file this is a first start and the bucket is left full. With a file that is damaged, of a later version or
// dated in the future, or in a directory that cannot be written, the bucket is emptied and the error says why, in a sentence for
// the log; the queue can start all the same.
func (f *StateFile) Restore(b *Local) (r Restored, err error) {
	now := time.Now()
	if err := f.Err(); err != nil {
		b.Restore(now, 0)
		return r, fmt.Errorf("limiter: starting with an empty bucket, because %w", err)
	}
	k, err := f.read(now)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		b.Restore(now, 0)
		return r, fmt.Errorf("limiter: starting with an empty bucket, because the state in %s %w", f.record.Path(), err)
	}
	passed := k.passed(now)
	then := k.At.Add(passed)
	b.Restore(now, min(k.Level+k.Learned.tokens(k.At, then, b.Limits()), k.Learned.Limits(then, b.Limits()).Burst))
	r.Learned = k.Learned
	if k.Paused {
		r.Paused = k.Until.Sub(k.At) - passed
		if r.Paused == 0 {
			r.Paused = -1
		}
	}
	return r, nil
}

func (f *StateFile) read(now time.Time) (k Kept, err error) {
	body, err := f.record.Read()
	if err != nil {
		return k, err
	}
	if k, err = decodeState(body); err != nil {
		return k, err
	}
	if k.At.After(now.Round(0)) {
		return k, fmt.Errorf("is dated in the future (%s)", k.At.Format(time.RFC3339))
	}
	return k, nil
}

// Keep writes the file. When that fails the old state is emptied, so that a restart does not believe it.
func (f *StateFile) Keep(k Kept) {
	k.Boot, k.Up = bootclock.Boot(), bootclock.Uptime(time.Now())
	body, _ := json.Marshal(k) // a level that is no number has no JSON: the record is empty, and reads as damaged
	f.record.Write(body)
}

// Err is why the state cannot be written at present, nil when it can. Where it could not it is tried again, so that a repair shows
// without a call: a balancer that sends calls only to those that are ready would never send one.
func (f *StateFile) Err() error {
	if err := f.record.Err(); err != nil {
		return fmt.Errorf("the state cannot be written: %w", err)
	}
	return nil
}
