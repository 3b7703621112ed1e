package transport

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// retryAfter reads how long a pause Roam asks for (RFC 9110, section 10.2.3): whole or decimal seconds, or a date. A date is compared
// with the response's own Date where there is one, since the two come from the same clock and ours may differ. Of
// several values the longest counts. Without a usable value it is below 0, as for limiter.Permit.Throttled.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if sent, err := http.ParseTime(h.Get("Date")); err == nil {
		now = sent
	}
	longest := time.Duration(-1)
	for _, v := range h.Values("Retry-After") {
		if d, ok := retryAfterValue(strings.TrimSpace(v), now); ok {
			longest = max(longest, d)
		}
	}
	return longest
}

func retryAfterValue(v string, now time.Time) (time.Duration, bool) {
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0), true
	}
	if v == "" || strings.Trim(v, "0123456789.") != "" {
		return 0, false // ParseFloat also takes NaN, Inf, signs, exponents and hexadecimal
	}
	seconds, err := strconv.ParseFloat(v, 64)
	if err != nil && !math.IsInf(seconds, 1) {
		return 0, false
	}
	if seconds >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64, true
	}
	return time.Duration(math.Ceil(seconds * float64(time.Second))), true
}
