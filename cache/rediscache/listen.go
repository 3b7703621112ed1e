package rediscache

import (
	"time"

	"github.com/redis/rueidis"
)

// Start has forget called for what other replicas drop, until Close.
func (r *Tier) Start(forget func(match func(route string) bool) int) {
	r.forget = forget
	r.done.Go(r.listen)
	r.done.Go(r.heed)
	r.done.Go(r.watch)
}

// Close ends the listening.
func (r *Tier) Close() {
	r.cancel()
	r.done.Wait()
}

// listen passes on every message, whenever there is a channel.
func (r *Tier) listen() {
	for r.ctx.Err() == nil {
		if client := r.o.Client(); client != nil {
			client.Receive(r.ctx, client.B().Ssubscribe().Channel(r.key("dropped")).Build(), func(m rueidis.PubSubMessage) {
				if d, ok := decodeDropped(m.Message); ok {
					select {
					case r.said <- d:
					default:
						r.suspect()
					}
				}
			})
		}
		r.suspect()
		r.sleep(waking)
	}
}

// suspect has watch look often for a while: messages may have been missed.
func (r *Tier) suspect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missed = time.Now().Add(suspicion)
}

// heed forgets, and counts itself among those who have.
func (r *Tier) heed() {
	for {
		select {
		case d := <-r.said:
			r.forgetRoutes(d.Routes)
			r.mu.Lock()
			if d.Number == r.number+1 {
				r.number = d.Number
			}
			r.mu.Unlock()
			if client := r.o.Client(); client != nil {
				key := r.heardKey(d.Number)
				client.DoMulti(r.ctx, client.B().Incr().Key(key).Build(), client.B().Expire().Key(key).Seconds(10).Build())
			}
		case <-r.ctx.Done():
			return
		}
	}
}

// watch looks whether something was dropped that no message told of, and tells what could not be told.
func (r *Tier) watch() {
	r.suspect()
	for last := time.Now(); r.ctx.Err() == nil; {
		r.sleep(waking)
		client := r.o.Client()
		if client == nil {
			continue
		}
		r.mu.Lock()
		untold := r.untold
		r.untold = nil
		r.mu.Unlock()
		if len(untold) > 0 {
			r.Drop(func(route string) bool {
				for _, match := range untold {
					if match(route) {
						return true
					}
				}
				return false
			})
		}
		r.mu.Lock()
		missed := time.Now().Before(r.missed)
		r.mu.Unlock()
		if missed || time.Since(last) >= resting {
			r.catchUp(client)
			last = time.Now()
		}
	}
}

// catchUp forgets what was dropped unheard.
func (r *Tier) catchUp(client rueidis.Client) {
	answers := client.DoMulti(r.ctx, client.B().Get().Key(r.key("drops")).Build())
	number, err := answers[0].AsInt64()
	if err != nil && !rueidis.IsRedisNil(err) {
		return
	}
	r.mu.Lock()
	heard := r.number
	r.mu.Unlock()
	if number == heard {
		return
	}
	now, err := client.Do(r.ctx, client.B().Hgetall().Key(r.key("routes")).Build()).AsStrMap()
	if err != nil {
		return
	}
	var routes []string
	r.mu.Lock()
	for route, generation := range now {
		if r.known[route] != generation {
			routes = append(routes, route)
		}
	}
	for route := range r.known {
		if now[route] == "" {
			routes = append(routes, route)
		}
	}
	r.number, r.known = number, now
	r.mu.Unlock()
	r.forgetRoutes(routes)
}

// forgetRoutes drops routes from this replica's memory.
func (r *Tier) forgetRoutes(routes []string) {
	gone := make(map[string]bool, len(routes))
	for _, route := range routes {
		gone[route] = true
	}
	r.forget(func(route string) bool { return gone[route] || gone[everything] })
}

func (r *Tier) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}
