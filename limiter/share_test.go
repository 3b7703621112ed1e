package limiter

import (
	"context"
	"testing"
	"time"

	"roamproxy/proxy/roamtest/redistest"
)

// fleetOf is replicas with a line each in front of one quota.
func fleetOf(t *testing.T, r located, n int, perSecond, burst float64) (queues []*Queue, fleets []*Fleet) {
	t.Helper()
	for range n {
		f := replica(t, r, n)
		q := New(Options{Bucket: share(t, f, perSecond, burst), MaxWait: time.Minute})
		t.Cleanup(q.Close)
		queues, fleets = append(queues, q), append(fleets, f)
		joined(t, f)
	}
	return queues, fleets
}

// cuttableLine is the line of one of two replicas, whose way to Redis can be cut.
func cuttableLine(t *testing.T, r *redistest.Redis, perSecond float64) (*Queue, *Fleet, *wire) {
	t.Helper()
	f, w := cuttableFleet(t, r)
	q := New(Options{Bucket: share(t, f, perSecond, 10), MaxWait: time.Hour})
	t.Cleanup(q.Close)
	joined(t, f)
	return q, f, w
}

// itsTurn is what a call of a bot gets, or a test that fails.
func itsTurn(t *testing.T, q *Queue) *Permit {
	t.Helper()
	turn, err := q.Wait(t.Context(), from("bot").Caller)
	if err != nil {
		t.Fatal(err)
	}
	return turn
}

// paused is the pause as the line knows it.
func paused(q *Queue) pause {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pause
}

func TestEveryReplicaStopsAndOneProbes(t *testing.T) {
	queues, _ := fleetOf(t, redistest.NewRedis(t), 3, 50, 10)
	refused := itsTurn(t, queues[0])
	refused.Throttled(700 * time.Millisecond)
	refused.Release()
	said := time.Now()
	for i, q := range queues {
		until(t, "hearing of the pause", func() bool { return q.State().Paused })
		if got := time.Since(said); got > 500*time.Millisecond {
			t.Errorf("replica %d heard of the pause after %v, want about a beat, %v", i, got, beat)
		}
		q.mu.Lock()
		if ago := time.Since(q.emptied); q.full || ago > time.Minute {
			t.Errorf("replica %d believes the bucket full = %v, and emptied %v ago; want that Roam had nothing left a moment ago", i, q.full, ago)
		}
		q.mu.Unlock()
	}
	type left struct {
		turn *Permit
		at   time.Time
	}
	turns := make(chan left)
	for _, q := range queues {
		for range 3 {
			go func() {
				turn, err := q.Wait(t.Context(), from("bot").Caller)
				if err == nil {
					turns <- left{turn, time.Now()}
				}
			}()
		}
	}
	probe := <-turns
	if quiet := probe.at.Sub(said); quiet < 690*time.Millisecond || !probe.turn.probe {
		t.Errorf("after %v of the 700 ms of quiet a call left, probe = %v", quiet, probe.turn.probe)
	}
	select {
	case second := <-turns:
		t.Errorf("a second call left %v after the probe, want none before Roam's answer", second.at.Sub(probe.at))
	case <-time.After(600 * time.Millisecond):
	}
	probe.turn.Answered()
	probe.turn.Release()
	for range 8 {
		next := <-turns
		if next.turn.probe {
			t.Error("after the probe's success there is another probe")
		}
		next.turn.Answered()
		next.turn.Release()
	}
	for i, q := range queues {
		until(t, "opening", func() bool { return !q.State().Paused })
		if got := paused(q).generation; got != 1 {
			t.Errorf("replica %d counts %d pauses, want 1", i, got)
		}
	}
}

func TestRefusalsOfOneMomentAreOnePauseForAll(t *testing.T) {
	queues, _ := fleetOf(t, redistest.NewRedis(t), 2, 50, 10)
	passes(t, queues[0].bucket.(*Redis))(time.Minute)
	one, two := itsTurn(t, queues[0]), itsTurn(t, queues[1])
	one.Throttled(5 * time.Second)
	until(t, "hearing of the pause", func() bool { return queues[1].State().Paused })
	before := paused(queues[0]).shared
	two.Throttled(50 * time.Second) // left before, and comes late
	two.Answered()
	time.Sleep(3 * beat)
	for i, q := range queues {
		if s := q.State(); s.PausedFor > 5*time.Second || s.PausedFor == 0 || paused(q).shared != before {
			t.Errorf("replica %d is paused for %v in generation %d, want at most 5 s in %d", i, s.PausedFor, paused(q).shared, before)
		}
	}
	one.Release()
	two.Release()
}

func TestProberThatDiesLeavesTheQuestionToAnother(t *testing.T) {
	r := redistest.NewRedis(t)
	queues, _ := fleetOf(t, r, 1, 50, 10)
	q, _, cuttable := cuttableLine(t, r, 50)
	refused := itsTurn(t, q)
	refused.Throttled(300 * time.Millisecond)
	refused.Release()
	probe := itsTurn(t, q)
	if !probe.probe {
		t.Fatal("the call after the pause is no probe")
	}
	until(t, "hearing of the pause", func() bool { return queues[0].State().Paused })
	cuttable.set(true) // and nobody will ever hear what Roam says to it
	start := time.Now()
	next := itsTurn(t, queues[0])
	if took := time.Since(start); !next.probe || took < lease/2 {
		t.Errorf("the other replica's call left after %v, probe = %v; want a probe once the first is taken for dead, after %v", took, next.probe, lease)
	}
	next.Answered()
	next.Release()
	if queues[0].State().Paused {
		t.Error("still paused after a probe's success")
	}
	probe.Release()
}

func TestTheEstimateKnowsWhoElseWaits(t *testing.T) {
	queues, _ := fleetOf(t, redistest.NewRedis(t), 2, 10, 5)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	wait := func(q *Queue, calls int) {
		for range calls {
			go func() {
				if turn, err := q.Wait(ctx, from("bot").Caller); err == nil {
					turn.Answered()
					turn.Release()
				}
			}()
		}
	}
	wait(queues[0], 200)
	until(t, "hearing that the other waits", func() bool { return queues[1].bucket.(*Redis).others() == 1 })
	wait(queues[1], 15)
	until(t, "waiting", func() bool { return queues[1].State().Waiting["bot"] >= 10 })
	// At 10 calls a second ten to fifteen others take up to 1.6 s, and twice that where every other turn is the other replica's.
	start := time.Now()
	_, err := queues[1].Wait(ctx, within(2*time.Second, "bot").Caller)
	refusalOf(t, err, ErrWaitTooLong)
	if took := time.Since(start); took > time.Second {
		t.Errorf("refused after %v, want at once", took)
	}
}
