package rediscache

import (
	"time"

	"github.com/redis/rueidis"
)

// Start has invalidateLocal called for what other replicas drop, until Close.
func (r *Tier) Start(invalidateLocal func(match func(route string) bool) int) {
	r.invalidateLocal = invalidateLocal
	r.done.Go(r.subscribe)
	r.done.Go(r.apply)
	r.done.Go(r.poll)
}

// Close ends the listening.
func (r *Tier) Close() {
	r.cancel()
	r.done.Wait()
}

// listen passes on every message, whenever there is a channel.
func (r *Tier) subscribe() {
	for r.ctx.Err() == nil {
		if client := r.o.Client(); client != nil {
			client.Receive(r.ctx, client.B().Ssubscribe().Channel(r.key("invalidated")).Build(), func(m rueidis.PubSubMessage) {
				if d, ok := decodeInvalidation(m.Message); ok {
					select {
					case r.messages <- d:
					default:
						r.pollOften()
					}
				}
			})
		}
		r.pollOften()
		r.sleep(pollInterval)
	}
}

// suspect has watch look often for a while: messages may have been missed.
func (r *Tier) pollOften() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pollUntil = time.Now().Add(doubtTime)
}

// heed forgets, and counts itself among those who have.
func (r *Tier) apply() {
	for {
		select {
		case d := <-r.messages:
			r.invalidateRoutes(d.Routes)
			r.mu.Lock()
			if d.Number == r.applied+1 {
				r.applied = d.Number
			}
			r.mu.Unlock()
			if client := r.o.Client(); client != nil {
				key := r.ackKey(d.Number)
				client.DoMulti(r.ctx, client.B().Incr().Key(key).Build(), client.B().Expire().Key(key).Seconds(10).Build())
			}
		case <-r.ctx.Done():
			return
		}
	}
}

// watch looks whether something was dropped that no message told of, and tells what could not be told.
func (r *Tier) poll() {
	r.pollOften()
	for last := time.Now(); r.ctx.Err() == nil; {
		r.sleep(pollInterval)
		client := r.o.Client()
		if client == nil {
			continue
		}
		r.mu.Lock()
		unsent := r.unsent
		r.unsent = nil
		r.mu.Unlock()
		if len(unsent) > 0 {
			r.Invalidate(func(route string) bool {
				for _, match := range unsent {
					if match(route) {
						return true
					}
				}
				return false
			})
		}
		r.mu.Lock()
		missed := time.Now().Before(r.pollUntil)
		r.mu.Unlock()
		if missed || time.Since(last) >= idlePollInterval {
			r.catchUp(client)
			last = time.Now()
		}
	}
}

// catchUp forgets what was dropped unheard.
func (r *Tier) catchUp(client rueidis.Client) {
	answers := client.DoMulti(r.ctx, client.B().Get().Key(r.key("invalidations")).Build())
	number, err := answers[0].AsInt64()
	if err != nil && !rueidis.IsRedisNil(err) {
		return
	}
	r.mu.Lock()
	applied := r.applied
	r.mu.Unlock()
	if number == applied {
		return
	}
	now, err := client.Do(r.ctx, client.B().Hgetall().Key(r.key("routes")).Build()).AsStrMap()
	if err != nil {
		return
	}
	var routes []string
	r.mu.Lock()
	for route, generation := range now {
		if r.generations[route] != generation {
			routes = append(routes, route)
		}
	}
	for route := range r.generations {
		if now[route] == "" {
			routes = append(routes, route)
		}
	}
	r.applied, r.generations = number, now
	r.mu.Unlock()
	r.invalidateRoutes(routes)
}

// invalidateRoutes drops routes from this replica's memory.
func (r *Tier) invalidateRoutes(routes []string) {
	gone := make(map[string]bool, len(routes))
	for _, route := range routes {
		gone[route] = true
	}
	r.invalidateLocal(func(route string) bool { return gone[route] || gone[allRoutes] })
}

func (r *Tier) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}
