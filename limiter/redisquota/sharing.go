package redisquota

import (
	"context"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/bootclock"
)

// Publish sends an event with the next request, which is sent at once. While Redis is away only the last pause, or its end by hand, is
// kept for later, what was learned, and how many tokens Roam had at most.
func (b *Bucket) Publish(e limiter.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e.Kind {
	case limiter.EventLearned, limiter.EventLowered:
	default:
		b.probing = false // whatever the event is, the probe is over
	}
	switch e.Kind {
	case limiter.EventThrottled, limiter.EventHeld, limiter.EventResumed:
		b.pausedUntil = e.Until
	case limiter.EventAnswered:
		b.pausedUntil = time.Time{}
	case limiter.EventLearned:
		b.learned.AdaptState = e.Learned
	}
	b.events = append(b.events, e)
	if !b.joined {
		b.keepEvents()
	}
	b.session.soon()
}

// keepEvents keeps the latest event of each kind that must be reported once Redis is reachable again. The lock is held.
func (b *Bucket) keepEvents() {
	var pause, learned, lowered *limiter.Event
	for _, e := range b.events {
		switch e.Kind {
		case limiter.EventThrottled, limiter.EventHeld:
			e.Kind = limiter.EventHeld
			pause = &e
		case limiter.EventResumed:
			pause = &e
		case limiter.EventLearned:
			learned = &e
		case limiter.EventLowered:
			lowered = &e
		default: // the pause is over
			pause = nil
		}
	}
	b.events = b.events[:0:0]
	for _, e := range []*limiter.Event{pause, learned, lowered} {
		if e != nil {
			b.events = append(b.events, *e)
		}
	}
}

// Follow sets the function that is called with all news.
func (b *Bucket) Follow(f func(limiter.News)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follow = f
}

// Part returns this replica's part of the quota: by the weights of the tools that wait here and elsewhere, or its share alone.
func (b *Bucket) Part() limiter.Part {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined {
		return limiter.Part{Rate: 1 / float64(b.session.o.Replicas), Burst: 1}
	}
	own := float64(max(b.weight, 1))
	return limiter.Part{Rate: own / (own + float64(b.last.Others)), Burst: b.limits(bootclock.Now()).Burst, Replicas: max(b.last.Live, 1)}
}

// ask runs the script once, with all events that wait, and uses its reply. change makes it more than a renewal.
func (b *Bucket) ask(ctx context.Context, change func(*request)) (reply, error) {
	b.asking <- struct{}{}
	defer func() { <-b.asking }()
	b.mu.Lock()
	now := bootclock.Now()
	q, events := b.request(now, change)
	b.mu.Unlock()

	r, err := b.session.run(ctx, b.key, q)

	b.mu.Lock()
	if err != nil { // perhaps it was understood: an event about an old generation is ignored
		b.events = append(events, b.events...)
		b.mu.Unlock()
		return r, err
	}
	news := b.reply(bootclock.Now(), q, r)
	follow := b.follow
	b.mu.Unlock()
	follow(news)
	return r, nil
}

// request returns what there is to send now, which counts as sent. The lock is held.
func (b *Bucket) request(now time.Time, change func(*request)) (q request, sent []limiter.Event) {
	every, burst := spacing(b.limits(now))
	q = request{
		Replica: b.session.id, Check: !b.joined || now.Sub(b.checked) > recheck, LastReply: b.last.Now, Calls: -1, Returned: b.returned,
		Probing: b.probing, Replicas: b.session.o.Replicas, Every: every, Burst: burst,
		Settling: settling.Microseconds(), Late: late.Microseconds(), Forget: forget.Microseconds(), MaxPause: b.maxPause.Microseconds(),
		LimitGeneration: b.learned.generation, Events: []event{},
	}
	change(&q)
	if q.Calls > 0 {
		b.weight = q.Weight
	}
	if q.Calls > 1 { // one call may get its token at once, and then no call is queued
		b.active = later(b.active, now.Add(mostRenewal))
	}
	b.every, b.asked = b.interval(now)
	q.Lease = b.asked.Microseconds()
	for _, e := range b.events {
		learned, age := encode(e.Learned, now)
		q.Events = append(q.Events, event{e.Kind, e.Generation, max(e.Until.Sub(now).Microseconds(), 0), learned, age.Microseconds(), e.Level})
	}
	sent = b.events
	b.events, b.returned = nil, 0
	return q, sent
}

// reply uses what the script answered to q, and returns what is new. The lock is held.
func (b *Bucket) reply(now time.Time, q request, r reply) limiter.News {
	back, forgotten := !b.joined && !q.Bye, r.Born != b.last.Born
	b.joined, b.replied, b.lease, b.last = !q.Bye, now, b.asked, r
	if q.Check {
		b.checked = now
	}
	b.full = now.Add(micros(r.Full))
	if q.Calls > 0 {
		b.next = now.Add(b.whileHeld(now, micros(r.Next)))
		if wait := max(r.Wait, r.Next); wait > 0 {
			b.active = now.Add(micros(wait) + late)
		}
	}
	b.probing = r.Mine && (b.probing || q.Calls > 0 && r.Wait == 0)
	if forgotten && b.pausedUntil.After(now) { // Redis lost a pause, or ours did not reach it
		b.events = append(b.events, limiter.Event{Kind: limiter.EventHeld, Until: b.pausedUntil})
	}
	switch {
	case r.LimitGeneration < b.learned.generation: // it was lost there
		b.learned.generation = r.LimitGeneration
		b.events = append(b.events, limiter.Event{Kind: limiter.EventLearned, Learned: b.learned.AdaptState})
	case r.LimitGeneration > b.learned.generation:
		b.learned = shared{decode(r.Learned, now.Add(-micros(r.Age))), r.LimitGeneration}
	}
	if len(b.events) > 0 {
		b.session.soon()
	} else if b.pausedUntil = (time.Time{}); r.State != limiter.PauseOpen {
		b.pausedUntil = now.Add(micros(r.Remaining))
	}
	return limiter.News{
		State: r.State, Generation: r.Generation, Remaining: micros(r.Remaining), Mine: r.Mine,
		Pending: len(b.events) > 0, Learned: b.learned.AdaptState, Changed: back,
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
