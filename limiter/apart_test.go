package limiter

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/proxy/roamtest/redistest"
)

// What becomes of a pause, and of a share, while replicas cannot hear of each other.

// A prober that does not know that it is one, or cannot tell what Roam said, is heard all the same: it may not be waited for.
//
// Seen to fail with the first three for ever: it lived, so nobody else took its place.
func TestProberThatDoesNotTell(t *testing.T) {
	r := redistest.NewRedis(t)
	queues, _ := fleetOf(t, r, 1, 50, 10)
	q, f, cuttable := cuttableLine(t, r, 50)
	b := q.bucket.(*Redis)
	whileCutOff := func(hears func(*Permit)) func() {
		return func() {
			probe := itsTurn(t, q)
			cuttable.set(true)
			until(t, "losing Redis", func() bool { return f.Away() != nil })
			hears(probe)
			probe.Release()
			cuttable.set(false)
			joined(t, f)
		}
	}
	for _, tt := range []struct {
		name   string
		probes func()
	}{
		{"Roam answered while it was cut off", whileCutOff((*Permit).Answered)},
		{"Roam was silent while it was cut off", whileCutOff(func(*Permit) {})},
		{"the answer with its token was lost", func() {
			until(t, "the end of the quiet", func() bool { return q.State().PausedFor == 0 })
			b.mu.Lock()
			asked := b.question(time.Now(), word{})
			b.mu.Unlock()
			asked.Wants, asked.Waiting = true, 1
			if s, err := f.run(t.Context(), b.key, asked); err != nil || !s.Mine {
				t.Fatalf("no probe was given: %+v, %v", s, err)
			}
		}},
		{"its tool went away with the turn", func() { itsTurn(t, q).unused() }},
	} {
		refused := itsTurn(t, q)
		refused.Throttled(300 * time.Millisecond)
		refused.Release()
		until(t, "hearing of the pause", func() bool { return queues[0].State().Paused })
		tt.probes()
		for i, line := range []*Queue{q, queues[0]} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			turn, err := line.Wait(ctx, from("bot").Caller)
			cancel()
			if err != nil {
				t.Fatalf("%s: replica %d gets no turn in 10 s: %v, %+v", tt.name, i, err, line.State())
			}
			turn.Answered()
			turn.Release()
		}
	}
}

func TestPauseOutlivesRedis(t *testing.T) {
	r := redistest.NewRedis(t)
	queues, fleets := fleetOf(t, r, 2, 50, 10)
	refused := itsTurn(t, queues[0])
	refused.Throttled(time.Minute)
	refused.Release()
	until(t, "hearing of the pause", func() bool { return queues[1].State().Paused })
	r.Kill()
	for _, f := range fleets {
		until(t, "losing Redis", func() bool { return f.Away() != nil })
	}
	r.Start()
	for _, f := range fleets {
		joined(t, f)
	}
	time.Sleep(3 * beat)
	for i, q := range queues {
		if s := q.State(); s.PausedFor < 30*time.Second {
			t.Errorf("after Redis came back empty replica %d is paused for %v, want what was left of a minute", i, s.PausedFor)
		}
	}
	if !queues[1].Resume() {
		t.Error("nothing to resume")
	}
	until(t, "the other replica's hearing of it", func() bool { return queues[0].State().PausedFor == 0 })
}

// Seen to fail with nothing noted while Redis is away.
func TestARefusalWhileRedisIsAwayStopsAllOnceItIsBack(t *testing.T) {
	r := redistest.NewRedis(t)
	queues, _ := fleetOf(t, r, 1, 50, 10)
	q, f, cuttable := cuttableLine(t, r, 50)
	cuttable.set(true)
	until(t, "losing Redis", func() bool { return f.Away() != nil })
	refused := itsTurn(t, q)
	refused.Throttled(time.Minute)
	refused.Release()
	cuttable.set(false)
	until(t, "the other replica's hearing of it", func() bool { return queues[0].State().PausedFor > 30*time.Second })
}

// Seen to fail with a word forgotten that Redis did not understand, and with none noted while it is away.
func TestAPauseEndedByHandWhileRedisIsAwayIsEndedForAll(t *testing.T) {
	for _, tt := range []struct {
		name string
		away bool
	}{
		{"before anybody has noticed", false},
		{"after that", true},
	} {
		r := redistest.NewRedis(t)
		var queues []*Queue
		var fleets []*Fleet
		var wires []*wire
		for range 2 {
			q, f, w := cuttableLine(t, r, 50)
			queues, fleets, wires = append(queues, q), append(fleets, f), append(wires, w)
		}
		refused := itsTurn(t, queues[0])
		refused.Throttled(time.Minute)
		refused.Release()
		until(t, "hearing of the pause", func() bool { return queues[1].State().Paused })
		for _, w := range wires {
			w.set(true)
		}
		lost := func() bool { return fleets[0].Away() != nil && fleets[1].Away() != nil }
		if tt.away {
			until(t, "losing Redis", lost)
		}
		if !queues[0].Resume() {
			t.Errorf("%s: nothing to resume", tt.name)
		}
		until(t, "losing Redis", lost)
		for i, w := range wires {
			w.set(false)
			joined(t, fleets[i])
		}
		until(t, tt.name+": hearing of it", func() bool { return queues[0].State().PausedFor+queues[1].State().PausedFor == 0 })
	}
}

// A replica that has lost Redis probes itself, whoever was about to.
//
// Seen to fail with a line that is not told that it is alone.
func TestTheProbeOfAnotherIsNotWaitedForWithoutRedis(t *testing.T) {
	r := redistest.NewRedis(t)
	queues, _ := fleetOf(t, r, 1, 50, 10)
	q, _, cuttable := cuttableLine(t, r, 50)
	refused := itsTurn(t, queues[0])
	refused.Throttled(300 * time.Millisecond)
	refused.Release()
	probe := itsTurn(t, queues[0])
	defer probe.Release()
	until(t, "hearing that another probes", func() bool { return paused(q).elsewhere })
	cuttable.set(true)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	turn, err := q.Wait(ctx, from("bot").Caller)
	if err != nil || !turn.probe {
		t.Fatalf("no probe of its own in 10 s: %v, %+v", err, q.State())
	}
	turn.Release()
}

// A share of a slow quota is long in coming; once Redis is back there is the whole of it.
//
// Seen to fail with a line that is not told that Redis is back.
func TestNobodyWaitsForTheShareOnceRedisIsBack(t *testing.T) {
	r := redistest.NewRedis(t)
	q, f, cuttable := cuttableLine(t, r, 0.02)
	passes(t, q.bucket.(*Redis))(time.Hour)
	cuttable.set(true)
	until(t, "losing Redis", func() bool { return f.Away() != nil })
	left := make(chan *Permit, 1)
	go func() {
		if turn, err := q.Wait(t.Context(), from("bot").Caller); err == nil {
			left <- turn
		}
	}()
	until(t, "waiting for its share", func() bool { q.mu.Lock(); defer q.mu.Unlock(); return time.Until(q.tokenAt) > 20*time.Second })
	cuttable.set(false)
	select {
	case turn := <-left:
		turn.Release()
	case <-time.After(20 * time.Second):
		t.Errorf("no turn in 20 s: %+v", q.State())
	}
}

// A replica that starts while Redis is away has earned nothing yet.
func TestAReplicaThatStartsWithoutRedisStartsEmpty(t *testing.T) {
	f := NewFleet(FleetOptions{Connect: func() (rueidis.Client, error) { return nil, errors.New("cut") }, Prefix: "test", Replicas: 2})
	t.Cleanup(f.Close)
	b := share(t, f, 0.02, 10)
	if level, wait := b.Level(time.Now()), b.Take(time.Now()); level != 0 || wait < 100*time.Second {
		t.Errorf("the level is %v, and the first token comes after %v; want 0 and 100 s, at half of the rate", level, wait)
	}
}

// One of a fleet's quotas is closed; the other stays, and whoever else shares the first need not keep a share for it.
func TestAQuotaIsClosedAndTheOtherStays(t *testing.T) {
	r := redistest.NewRedis(t)
	stays, _ := fleetOf(t, r, 1, 50, 10)
	f := replica(t, r, 2)
	first := share(t, f, 50, 10)
	second, err := f.Bucket("other", 50, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	both := stays[0].bucket.(*Redis)
	until(t, "two replicas", func() bool { return both.replicas() == 2 })
	first.Close()
	until(t, "one replica", func() bool { return both.replicas() == 1 })
	if kept, err := f.Client().Do(t.Context(), f.Client().B().Hexists().Key(first.key).Field("replica:"+f.id).Build()).AsBool(); err != nil || kept {
		t.Errorf("a share is kept for who said goodbye: %v, %v", kept, err)
	}
	second.mu.Lock()
	heard := second.heard
	second.mu.Unlock()
	until(t, "the other quota's being heard", func() bool { second.mu.Lock(); defer second.mu.Unlock(); return second.heard.After(heard) })
	first.mu.Lock()
	heard = first.heard
	first.mu.Unlock()
	time.Sleep(3 * beat)
	first.mu.Lock()
	defer first.mu.Unlock()
	if first.heard != heard {
		t.Error("a quota that was closed is still told of")
	}
}
