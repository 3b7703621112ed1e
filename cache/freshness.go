package cache

import (
	"net/http"
	"strings"
	"time"
)

// lifetime returns how long an answer is fresh by Roam's headers (RFC 9111, section 4.2.1). There are no heuristics.
func lifetime(h http.Header, control directives, received time.Time) time.Duration {
	if control.has("no-cache") {
		return 0
	}
	for _, name := range []string{"s-maxage", "max-age"} {
		if d, ok := control.seconds(name); ok {
			return d
		}
	}
	expires, ok := parseDate(h.Get("Expires"))
	if !ok {
		return 0 // absent, or a value such as "0", which means the past (section 5.3)
	}
	return max(expires.Sub(date(h, received)), 0)
}

// date returns the time of the Date header, or of the arrival where there is none.
func date(h http.Header, received time.Time) time.Time {
	if t, ok := parseDate(h.Get("Date")); ok {
		return t
	}
	return received
}

// parseDate reads a date by the grammar of RFC 9110, section 5.6.7, in upper or lower case (RFC 9111, section 4.2). It is stricter than
// http.ParseTime, which accepts one digit instead of two, additional spaces, and zones other than GMT.
func parseDate(value string) (t time.Time, ok bool) {
	for _, layout := range []string{http.TimeFormat, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC} {
		t, err := time.Parse(layout, strings.ToUpper(value))
		if err != nil {
			continue
		}
		_, written, _ := strings.Cut(value, " ") // without the name of the day, which is redundant
		_, meant, _ := strings.Cut(t.Format(layout), " ")
		return t, strings.EqualFold(written, meant)
	}
	return time.Time{}, false
}

// ageOf returns the value of the Age header: of a list, or of several fields, the first (RFC 9111, section 5.1). A value that is no
// number counts as 0.
func ageOf(h http.Header) time.Duration {
	first, _, _ := strings.Cut(h.Get("Age"), ",")
	return delta(strings.TrimSpace(first))
}

// initialAge returns the age of an answer at its arrival (RFC 9111, section 4.2.3): the Age header plus the time since the request.
func initialAge(h http.Header, sent, received time.Time) time.Duration {
	return ageOf(h) + max(received.Sub(sent), 0)
}

func (e *Entry) age(now time.Time) time.Duration {
	// Go's monotonic clock stops while the machine is suspended, and the wall clock can be set. The larger difference counts.
	return e.Age + max(now.Sub(e.Received), now.Round(0).Sub(e.Received.Round(0)), 0)
}

// ttl returns how long the entry remains fresh; 0 or less when it is stale.
func (e *Entry) ttl(r Rule, now time.Time) time.Duration {
	if r.Origin {
		return e.Lifetime - e.age(now)
	}
	return r.TTL - e.age(now)
}

// satisfies reports whether the entry answers a request with these Cache-Control directives (RFC 9111, section 5.2.1).
func (e *Entry) satisfies(r Rule, control directives, now time.Time) bool {
	if control.has("no-cache") {
		return false
	}
	ttl := e.ttl(r, now)
	if most, ok := control.seconds("max-age"); ok && e.age(now) > most {
		return false
	}
	if least, ok := control.seconds("min-fresh"); ok && ttl < least {
		return false
	}
	if ttl > 0 {
		return true
	}
	most, ok := control.seconds("max-stale")
	if ok && control["max-stale"] == "" {
		most = forever
	}
	return ok && !e.Strict && -ttl <= most
}

// isServableStale reports whether the entry may replace an answer that is not available now. It may within the rule's stale time, unless
// Roam forbids it (RFC 9111, section 4.2.4) or the request limits the age (section 5.2.1.1).
func (e *Entry) isServableStale(r Rule, control directives, now time.Time) bool {
	if e.Strict || control.has("no-cache") || control.has("max-age") || control.has("min-fresh") {
		return false
	}
	most := r.Stale
	if control["max-stale"] != "" {
		most, _ = control.seconds("max-stale")
	}
	return e.ttl(r, now) > -most
}
