package rediscache

import (
	"time"

	"github.com/redis/rueidis"
)

// Start calls invalidate for what other replicas invalidate, until Close.
func (t *Tier) Start(invalidate func(match func(route string) bool) int) {
	t.invalidateLocal = invalidate
	t.done.Go(t.subscribe)
	t.done.Go(t.apply)
	t.done.Go(t.poll)
}

// Close ends the subscription.
func (t *Tier) Close() {
	t.cancel()
	t.done.Wait()
}

// subscribe hands every message of the channel to apply.
func (t *Tier) subscribe() {
	for t.ctx.Err() == nil {
		if client := t.o.Client(); client != nil {
			client.Receive(t.ctx, client.B().Ssubscribe().Channel(t.key("invalidated")).Build(), func(m rueidis.PubSubMessage) {
				if d, ok := decodeInvalidation(m.Message); ok {
					select {
					case t.messages <- d:
					default:
						t.pollOften()
					}
				}
			})
		}
		t.pollOften()
		t.sleep(pollInterval)
	}
}

// pollOften makes poll read often for a while, because messages may have been missed.
func (t *Tier) pollOften() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pollUntil = time.Now().Add(doubtTime)
}

// apply removes the routes of each message from the memory, and acknowledges the message.
func (t *Tier) apply() {
	for {
		select {
		case d := <-t.messages:
			t.invalidateRoutes(d.Routes)
			t.mu.Lock()
			if d.Number == t.applied+1 {
				t.applied = d.Number
			}
			t.mu.Unlock()
			if client := t.o.Client(); client != nil {
				key := t.ackKey(d.Number)
				client.DoMulti(t.ctx, client.B().Incr().Key(key).Build(), client.B().Expire().Key(key).Seconds(10).Build())
			}
		case <-t.ctx.Done():
			return
		}
	}
}

// poll looks for invalidations without a message, and publishes those that could not be published.
func (t *Tier) poll() {
	t.pollOften()
	for last := time.Now(); t.ctx.Err() == nil; {
		t.sleep(pollInterval)
		client := t.o.Client()
		if client == nil {
			continue
		}
		t.mu.Lock()
		unsent := t.unsent
		t.unsent = nil
		t.mu.Unlock()
		if len(unsent) > 0 {
			t.Invalidate(func(route string) bool {
				for _, match := range unsent {
					if match(route) {
						return true
					}
				}
				return false
			})
		}
		t.mu.Lock()
		missed := time.Now().Before(t.pollUntil)
		t.mu.Unlock()
		if missed || time.Since(last) >= idlePollInterval {
			t.catchUp(client)
			last = time.Now()
		}
	}
}

// catchUp removes the routes that were invalidated without a message.
func (t *Tier) catchUp(client rueidis.Client) {
	answers := client.DoMulti(t.ctx, client.B().Get().Key(t.key("invalidations")).Build())
	number, err := answers[0].AsInt64()
	if err != nil && !rueidis.IsRedisNil(err) {
		return
	}
	t.mu.Lock()
	applied := t.applied
	t.mu.Unlock()
	if number == applied {
		return
	}
	now, err := client.Do(t.ctx, client.B().Hgetall().Key(t.key("routes")).Build()).AsStrMap()
	if err != nil {
		return
	}
	var routes []string
	t.mu.Lock()
	for route, generation := range now {
		if t.generations[route] != generation {
			routes = append(routes, route)
		}
	}
	for route := range t.generations {
		if now[route] == "" {
			routes = append(routes, route)
		}
	}
	t.applied, t.generations = number, now
	t.mu.Unlock()
	t.invalidateRoutes(routes)
}

// invalidateRoutes removes routes from this replica's memory.
func (t *Tier) invalidateRoutes(routes []string) {
	named := make(map[string]bool, len(routes))
	for _, route := range routes {
		named[route] = true
	}
	t.invalidateLocal(func(route string) bool { return named[route] || named[allRoutes] })
}

func (t *Tier) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.ctx.Done():
	}
}
