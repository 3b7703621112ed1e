package transport

import (
	"math"
	"net/http"
	"testing"
	"time"
)

// Seen to fail with Roam's Date ignored, and with the first of two.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, tt := range []struct {
		name   string
		values []string
		date   string // Roam's own clock
		want   time.Duration
	}{
		{"seconds", []string{"7"}, "", 7 * time.Second},
		{"decimals", []string{"1.5"}, "", 1500 * time.Millisecond},
		{"blanks around", []string{" 7 "}, "", 7 * time.Second},
		{"no header", nil, "", -1},
		{"empty", []string{""}, "", -1},
		{"a word", []string{"soon"}, "", -1},
		{"zero", []string{"0"}, "", 0},
		{"negative is not usable", []string{"-5"}, "", -1},
		{"NaN", []string{"NaN"}, "", -1},
		{"infinity", []string{"Inf"}, "", -1},
		{"an exponent", []string{"1e9"}, "", -1},
		{"only a point", []string{"."}, "", -1},
		{"days", []string{"864000"}, "", 240 * time.Hour},
		{"more than a clock holds", []string{"99999999999999999999999999"}, "", math.MaxInt64},
		{"a date", []string{date(9 * time.Second)}, "", 9 * time.Second},
		{"a date by Roam's clock, an hour ahead of ours", []string{date(time.Hour + 9*time.Second)}, date(time.Hour), 9 * time.Second},
		{"a date that has passed", []string{date(-time.Hour)}, "", 0},
		{"the longest of two", []string{"3", "8"}, "", 8 * time.Second},
		{"the usable one of two", []string{"soon", "8"}, "", 8 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"Retry-After": tt.values}
			if tt.date != "" {
				h.Set("Date", tt.date)
			}
			if got := retryAfter(h, now); got != tt.want {
				t.Errorf("retryAfter(%q) = %v, want %v", tt.values, got, tt.want)
			}
		})
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"7", "1.5", "-1", "NaN", "1e400", "Sun, 01 Mar 2026 12:00:00 GMT", "99999999999999999999"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		got := retryAfter(http.Header{"Retry-After": {a, b}, "Date": {b}}, time.Unix(0, 0))
		if got < -1 {
			t.Errorf("retryAfter(%q, %q) = %v, want at least -1", a, b, got)
		}
	})
}
