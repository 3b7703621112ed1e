package cache

import (
	"net/http"
	"strings"
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
	expires, ok := parseDate(h.Get("Expires"))
	if !ok {
		return 0 // none, or one such as "0", which means the past (section 5.3)
	}
	return max(expires.Sub(date(h, received)), 0)
}

// date is when Roam made the answer, as far as it says so.
func date(h http.Header, received time.Time) time.Time {
	if t, ok := parseDate(h.Get("Date")); ok {
		return t
	}
	return received
}

// parseDate reads a date by the grammar of RFC 9110, section 5.6.7, in any case of letters (RFC 9111, section 4.2). http.ParseTime
// takes one digit where two belong, more spaces, and zones other than GMT.
func parseDate(value string) (t time.Time, ok bool) {
	for _, layout := range []string{http.TimeFormat, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC} {
		t, err := time.Parse(layout, strings.ToUpper(value))
		if err != nil {
			continue
		}
		_, written, _ := strings.Cut(value, " ") // without the name of the day, of which nothing depends
		_, meant, _ := strings.Cut(t.Format(layout), " ")
		return t, strings.EqualFold(written, meant)
	}
	return time.Time{}, false
}

// ageOf returns the value of Age: of a list, or of several fields, the first (RFC 9111, section 5.1). One that is no number does
// not count.
func ageOf(h http.Header) time.Duration {
	first, _, _ := strings.Cut(h.Get("Age"), ",")
	return delta(strings.TrimSpace(first))
}

// initialAge is the age of an answer when it came (RFC 9111, section 4.2.3): what caches on the way say, and the time that it
// took to come.
func initialAge(h http.Header, sent, received time.Time) time.Duration {
	return ageOf(h) + max(received.Sub(sent), 0)
}

func (e *Entry) age(now time.Time) time.Duration {
	// Go's clock stands still while the machine is suspended, and the wall clock can be set: what is old by either is old.
	return e.Age + max(now.Sub(e.Received), now.Round(0).Sub(e.Received.Round(0)), 0)
}

// ttl is how long the entry is fresh still; below zero when it is no longer.
func (e *Entry) ttl(r Rule, now time.Time) time.Duration {
	if r.Origin {
		return e.Lifetime - e.age(now)
	}
	return r.TTL - e.age(now)
}

// satisfies tells whether the entry answers the request as it is (RFC 9111, section 5.2.1).
func (e *Entry) satisfies(r Rule, wants directives, now time.Time) bool {
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

// isServableStale tells whether the entry may stand in for an answer that cannot be had now: within the rule's stale, unless Roam
// forbids it (RFC 9111, section 4.2.4) or the tool said how old an answer may be (section 5.2.1.1).
func (e *Entry) isServableStale(r Rule, wants directives, now time.Time) bool {
	if e.Strict || wants.has("no-cache") || wants.has("max-age") || wants.has("min-fresh") {
		return false
	}
	most := r.Stale
	if wants["max-stale"] != "" {
		most, _ = wants.seconds("max-stale")
	}
	return e.ttl(r, now) > -most
}
