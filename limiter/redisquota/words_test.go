package redisquota

import (
	"regexp"
	"slices"
	"testing"

	"roamproxy/limiter"
)

// The script in Redis and package limiter have the same words for the state of a pause and for events.
//
// Seen to fail with another word for a pause in the script.
func TestTheScriptHasTheWordsOfTheLimiter(t *testing.T) {
	for _, tt := range []struct {
		name, pattern string
		want          []string
	}{
		{"states of a pause", `state(?:, q\.prober)? [~=]?= '(\w+)'`, []string{string(limiter.PauseOpen), string(limiter.PauseProbing),
			string(limiter.PauseShut)}},
		{"events", `e\.kind == '(\w+)'`, []string{string(limiter.EventAnswered), string(limiter.EventHeld), string(limiter.EventLearned),
			string(limiter.EventLowered), string(limiter.EventResumed), string(limiter.EventThrottled), string(limiter.EventUnsure)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, match := range regexp.MustCompile(tt.pattern).FindAllStringSubmatch(quotaScript, -1) {
				got = append(got, match[1])
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, tt.want) {
				t.Errorf("the script has %q, want %q", got, tt.want)
			}
		})
	}
}
