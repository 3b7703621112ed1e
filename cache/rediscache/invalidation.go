package rediscache

import (
	"time"

	"github.com/redis/rueidis"
)

// Start calls invalidate for what other replicas invalidate, until Close.
func (r *Tier) Start(invalidate func(match func(route string) bool) int) {
	r.invalidateLocal = invalidate
	r.done.Go(r.subscribe)
	r.done.Go(r.apply)
	r.done.Go(r.poll)
}

// Close ends the subscription.
func (r *Tier) Close() {
	r.cancel()
	r.done.Wait()
}

// subscribe hands every message of the channel to apply.
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

// pollOften makes poll read often for a while, because messages may have been missed.
func (r *Tier) pollOften() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pollUntil = time.Now().Add(doubtTime)
}

// apply removes the routes of each message from the memory, and acknowledges the message.
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

// poll looks for invalidations without a message, and publishes those that could not be published.
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

// catchUp removes the routes that were invalidated without a message.
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

// invalidateRoutes removes routes from this replica's memory.
func (r *Tier) invalidateRoutes(routes []string) {
	named := make(map[string]bool, len(routes))
	for _, route := range routes {
		named[route] = true
	}
	r.invalidateLocal(func(route string) bool { return named[route] || named[allRoutes] })
}

func (r *Tier) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}
