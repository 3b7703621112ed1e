package redisquota

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/limiter"
	"roamproxy/proxy/roamtest/redistest"
)

// Pauses and shares while replicas cannot reach each other.

// A prober that does not know that it is one, or cannot report Roam's answer, still renews its lease. The others do not wait for it.
//
// Seen to fail with the first three for ever: it lived, so no other took its place.
func TestProberThatDoesNotReport(t *testing.T) {
	r := redistest.NewRedis(t)
	other := newReplica(t, r, 2, 50, 10)
	p, cuttable := cuttableReplica(t, r, 50)
	whileCutOff := func(ends func(*limiter.Permit)) func(*testing.T) {
		return func(t *testing.T) {
			probe := permit(t, p.queue)
			cuttable.set(true)
			p.queue.Wait(t.Context(), limiter.Caller{}) // a call that has to ask notices
			until(t, "losing Redis", func() bool { p.session.soon(); return p.session.Away() != nil })
			ends(probe)
			probe.Release()
			cuttable.set(false)
			joined(t, p.session)
		}
	}
	for _, tt := range []struct {
		name   string
		probes func(*testing.T)
	}{
		{"Roam answered while it was cut off", whileCutOff((*limiter.Permit).Answered)},
		{"Roam was silent while it was cut off", whileCutOff(func(*limiter.Permit) {})},
		{"the reply with its token was lost", func(t *testing.T) {
			until(t, "the end of the pause", func() bool { return p.queue.State().PausedFor == 0 })
			p.bucket.asking <- struct{}{}
			defer func() { <-p.bucket.asking }()
			p.bucket.mu.Lock()
			asked, _ := p.bucket.request(time.Now(), func(q *request) { q.Calls = 1 })
			p.bucket.mu.Unlock()
			if r, err := p.session.run(t.Context(), p.bucket.key, asked); err != nil || !r.Mine {
				t.Fatalf("no probe was given: %+v, %v", r, err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused(t, p.queue, 300*time.Millisecond)
			other.renew(t)
			tt.probes(t)
			for i, q := range []*limiter.Queue{p.queue, other.queue} {
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
				got, err := q.Wait(ctx, bot)
				cancel()
				if err != nil {
					t.Fatalf("replica %d gets no permit in 15 s: %v, %+v", i, err, q.State())
				}
				got.Answered()
				got.Release()
			}
		})
	}
}

func TestPauseOutlivesRedis(t *testing.T) {
	r := redistest.NewRedis(t)
	replicas := replicasOf(t, r, 2, 50, 10)
	refused(t, replicas[0].queue, time.Minute)
	until(t, "the news of the pause", func() bool { replicas[1].renew(t); return replicas[1].queue.State().Paused })
	r.Kill()
	for _, p := range replicas {
		until(t, "losing Redis", func() bool { p.session.soon(); return p.session.Away() != nil })
	}
	r.Start()
	for _, p := range replicas {
		joined(t, p.session)
	}
	for i, p := range replicas {
		p.renew(t)
		p.renew(t)
		if s := p.queue.State(); s.PausedFor < 30*time.Second {
			t.Errorf("after Redis came back empty replica %d is paused for %v, want what was left of a minute", i, s.PausedFor)
		}
	}
	if !replicas[1].queue.Resume() {
		t.Error("nothing to resume")
	}
	until(t, "the news at the other replica", func() bool { replicas[0].renew(t); return replicas[0].queue.State().PausedFor == 0 })
}

// Seen to fail with nothing noted while Redis is away.
func TestARefusalWhileRedisIsAwayStopsAllOnceItIsBack(t *testing.T) {
	r := redistest.NewRedis(t)
	other := newReplica(t, r, 2, 50, 10)
	p, cuttable := cuttableReplica(t, r, 50)
	cuttable.set(true)
	until(t, "losing Redis", func() bool { p.session.soon(); return p.session.Away() != nil })
	refused(t, p.queue, time.Minute)
	cuttable.set(false)
	joined(t, p.session)
	until(t, "the news at the other replica", func() bool { other.renew(t); return other.queue.State().PausedFor > 30*time.Second })
}

// Seen to fail with an event forgotten that Redis did not understand, and with none noted while it is away.
func TestAPauseEndedByHandWhileRedisIsAwayIsEndedForAll(t *testing.T) {
	for _, tt := range []struct {
		name string
		away bool
	}{
		{"before any has noticed", false},
		{"after that", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := redistest.NewRedis(t)
			var replicas []process
			var wires []*wire
			for range 2 {
				p, w := cuttableReplica(t, r, 50)
				replicas, wires = append(replicas, p), append(wires, w)
			}
			refused(t, replicas[0].queue, time.Minute)
			replicas[0].renew(t)
			until(t, "the news of the pause", func() bool { replicas[1].renew(t); return replicas[1].queue.State().Paused })
			for _, w := range wires {
				w.set(true)
			}
			lost := func() bool {
				for _, p := range replicas {
					p.session.soon()
				}
				return replicas[0].session.Away() != nil && replicas[1].session.Away() != nil
			}
			if tt.away {
				until(t, "losing Redis", lost)
			}
			if !replicas[0].queue.Resume() {
				t.Error("nothing to resume")
			}
			until(t, "losing Redis", lost)
			for i, w := range wires {
				w.set(false)
				joined(t, replicas[i].session)
			}
			until(t, "the news", func() bool {
				replicas[0].session.soon()
				replicas[1].bucket.ask(t.Context(), func(*request) {})
				return replicas[0].queue.State().PausedFor+replicas[1].queue.State().PausedFor == 0
			})
		})
	}
}

// A replica that has lost Redis probes itself, whichever was about to.
//
// Seen to fail with a queue that does not get the news that it is alone.
func TestTheProbeOfAnotherIsNotWaitedForWithoutRedis(t *testing.T) {
	r := redistest.NewRedis(t)
	other := newReplica(t, r, 2, 50, 10)
	p, cuttable := cuttableReplica(t, r, 50)
	refused(t, other.queue, 300*time.Millisecond)
	probe := permit(t, other.queue)
	defer probe.Release()
	p.renew(t)
	if s := p.queue.State(); !s.Paused || s.PausedFor != 0 {
		t.Fatalf("%+v, want that another replica probes", s)
	}
	cuttable.set(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := p.queue.Wait(ctx, bot)
	if err != nil {
		t.Fatalf("no probe of its own in 20 s: %v, %+v", err, p.queue.State())
	}
	got.Release()
}

// A share of a slow quota is long in coming; once Redis is back there is the whole of it.
//
// Seen to fail with a queue that does not get the news that Redis is back.
func TestNoCallWaitsForTheShareOnceRedisIsBack(t *testing.T) {
	r := redistest.NewRedis(t)
	p, cuttable := cuttableReplica(t, r, 0.02)
	passes(t, p.bucket)(time.Hour)
	cuttable.set(true)
	until(t, "losing Redis", func() bool { p.session.soon(); return p.session.Away() != nil })
	sent := make(chan *limiter.Permit, 1)
	go func() {
		if got, err := p.queue.Wait(t.Context(), bot); err == nil {
			sent <- got
		}
	}()
	until(t, "waiting for its share", func() bool { return p.queue.State().Waiting["bot"] == 1 })
	cuttable.set(false)
	select {
	case got := <-sent:
		got.Release()
	case <-time.After(20 * time.Second):
		t.Errorf("no permit in 20 s: %+v", p.queue.State())
	}
}

// A replica that starts while Redis is away has earned nothing yet.
func TestAReplicaThatStartsWithoutRedisStartsEmpty(t *testing.T) {
	s := New(Options{Connect: func() (rueidis.Client, error) { return nil, errors.New("cut") }, Prefix: "test", Replicas: 2})
	t.Cleanup(s.Close)
	b := share(t, s, 0.02, 10)
	if level, wait := b.Level(time.Now()), b.Take(time.Now(), limiter.Demand{}); level > 1e-3 || wait < 99*time.Second {
		t.Errorf("the level is %v, and the first token comes after %v; want 0 and 100 s, at half of the rate", level, wait)
	}
}

// One of a session's quotas is closed; the other stays, and the other replicas need not keep a share for it.
func TestAQuotaIsClosedAndTheOtherStays(t *testing.T) {
	r := redistest.NewRedis(t)
	stays := newReplica(t, r, 2, 50, 10)
	s := replica(t, r, 2)
	first := share(t, s, 50, 10)
	second, err := s.Bucket("other", 50, 10, 0, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	joined(t, s)
	until(t, "two replicas", func() bool {
		stays.renew(t)
		first.ask(t.Context(), func(*request) {})
		return stays.bucket.Part().Replicas == 2
	})
	first.Close()
	stays.renew(t)
	if got := stays.bucket.Part().Replicas; got != 1 {
		t.Errorf("%d replicas are there after one left, want 1", got)
	}
	replied := func(b *Bucket) time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.replied }
	first.mu.Lock()
	last := first.replied
	first.mu.Unlock()
	before := replied(second)
	second.Publish(limiter.Event{Kind: limiter.EventUnsure})
	until(t, "a reply for the other quota", func() bool { return replied(second).After(before) })
	if replied(first) != last {
		t.Error("a quota that was closed is still reported")
	}
}
