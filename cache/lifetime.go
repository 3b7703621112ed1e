package cache

import (
	"net/http"
	"time"
)

// lifetime is how long Roam's headers say that the answer is fresh (RFC 9111, section 4.2.1). There are no heuristics.
func lifetime(h http.Header, says directives, received time.Time) time.Duration {
	if says.has("no-cache") {
		return 0
	}
	for _, name := range []string{"s-maxage", "max-age"} {
		if d, ok := says.seconds(name); ok {
			return d
		}
	}
	expires, err := http.ParseTime(h.Get("Expires"))
	if err != nil {
		return 0 // none, or one such as "0", which means the past (section 5.3)
	}
	return max(expires.Sub(date(h, received)), 0)
}

// date is when Roam made the answer, as far as it says so.
func date(h http.Header, received time.Time) time.Time {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t
	}
	return received
}

// initialAge is the age of an answer when it came (RFC 9111, section 4.2.3): what caches on the way say, and the time that it
// took to come.
func initialAge(h http.Header, sent, received time.Time) time.Duration {
	return delta(h.Get("Age")) + max(received.Sub(sent), 0)
}

func (e *Entry) age(now time.Time) time.Duration { return e.Age + max(now.Sub(e.Received), 0) }

// ttl is how long the entry is fresh still; below zero when it is no longer.
func (e *Entry) ttl(r Rule, now time.Time) time.Duration {
	if r.Origin {
		return e.Lifetime - e.age(now)
	}
	return r.TTL - e.age(now)
}

// suits tells whether the entry answers the request as it is (RFC 9111, section 5.2.1).
func (e *Entry) suits(r Rule, wants directives, now time.Time) bool {
	if wants.has("no-cache") {
		return false
	}
	ttl := e.ttl(r, now)
	if most, ok := wants.seconds("max-age"); ok && e.age(now) > most {
		return false
	}
	if least, ok := wants.seconds("min-fresh"); ok && ttl < least {
		return false
	}
	if ttl > 0 {
		return true
	}
	most, ok := wants.seconds("max-stale")
	if ok && wants["max-stale"] == "" {
		most = forever
	}
	return ok && !e.Strict && -ttl <= most
}

// servable tells whether the entry may stand in for an answer that cannot be had now: within the rule's stale, unless Roam
// forbids it (RFC 9111, section 4.2.4) or the tool said how old an answer may be (section 5.2.1.1).
func (e *Entry) servable(r Rule, wants directives, now time.Time) bool {
	if e.Strict || wants.has("no-cache") || wants.has("max-age") || wants.has("min-fresh") {
		return false
	}
	most := r.Stale
	if wants["max-stale"] != "" {
		most, _ = wants.seconds("max-stale")
	}
	return e.ttl(r, now) > -most
}
