package limiter

import (
	"encoding/json"
	"time"
)

// lesson is what replicas know together about how much of their quota is left for them. It lies in Redis, with a generation, so
// that it outlives the replica that learned it; each hears of it with the answer to its next question, and no token is given
// without one.
//
// The law by which a rate grows is the replicas' (Learned): a question comes with the numbers of now, and the script takes them from who
// knows the latest lesson. Who does not know it gets his token by the numbers that others brought.
type lesson struct {
	learned    Learned // the whole quota's
	generation uint64  // of the one that was heard last
	untold     bool    // learned is of this replica, and Redis has not answered to it
}

// share is what is left for one of so many replicas that go on alone.
func (l *lesson) share(replicas int) Learned {
	n, part := float64(replicas), l.learned
	part.Rate, part.Left, part.Burst = part.Rate/n, part.Left/n, min(part.Burst, 1)
	return part
}

// of makes what this replica learned from its share a lesson about the whole. A share has no burst to learn anything about.
func (l *lesson) of(part Learned, replicas int, paid Limits) {
	n, whole := float64(replicas), part
	if !part.At.IsZero() {
		whole.Rate, whole.Left, whole.Burst = part.Rate*n, part.Left*n, l.learned.limits(part.At, paid).Burst
	}
	l.learned, l.untold = whole, true
}

// heed compares with what Redis says. One that is older than ours was lost there, and is told again.
func (l *lesson) heed(s shared, taught bool, now time.Time) {
	if taught {
		l.untold = false
	}
	switch {
	case s.Lesson < l.generation:
		l.generation, l.untold = s.Lesson, true
	case s.Lesson > l.generation && l.untold && l.learned.At.IsZero():
		l.generation = s.Lesson // which is to be forgotten
	case s.Lesson > l.generation:
		*l = lesson{learned: decodeLearned(s.Learned, now.Add(-micros(s.Age))), generation: s.Lesson}
	}
}

// encode is how a lesson lies in Redis: the rate, the burst and what is left, as JSON, and how old it is; nothing when nothing was
// learned.
func (l Learned) encode(now time.Time) (text string, age time.Duration) {
	if l.At.IsZero() {
		return "", 0
	}
	numbers, _ := json.Marshal([3]float64{l.Rate, l.Burst, l.Left})
	return string(numbers), max(now.Sub(l.At), 0)
}

// decodeLearned reads it. What no refusal can have taught is nothing.
func decodeLearned(text string, at time.Time) Learned {
	var v [3]float64
	if json.Unmarshal([]byte(text), &v) != nil {
		return Learned{}
	}
	if l := (Learned{Rate: v[0], Burst: v[1], Left: v[2], At: at}); l.sound(at) {
		return l
	}
	return Learned{}
}

// Learned is what refusals have taught the replicas together, or what they taught this one about its share while Redis is away.
func (b *Redis) Learned() Learned {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined {
		return b.alone.Learned()
	}
	return b.lesson.learned
}

// Learn replaces it, here at once and for all others with the next beat, which comes at once. Where another replica was quicker,
// its lesson counts for all: the refusals of one moment teach once. To forget is nobody too late.
func (b *Redis) Learn(l Learned) {
	b.mu.Lock()
	switch {
	case !b.joined:
		b.alone.Learn(l)
		b.lesson.of(l, b.fleet.o.Replicas, b.paid)
	case l != b.lesson.learned:
		b.lesson.learned, b.lesson.untold = l, true
	}
	b.mu.Unlock()
	b.fleet.soon()
}
