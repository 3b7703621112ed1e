package limiter

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What is written by hand is what encoding/json reads, and means the same, whatever it is.
//
// Seen to fail with a field that is left out, and with times to the second.
func TestEveryStateReadsAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		moment := func(label string, latest int64) time.Time {
			zone := time.FixedZone("", 60*rapid.IntRange(-12*60, 14*60).Draw(t, label+"'s zone"))
			return time.Unix(0, rapid.Int64Range(1, latest).Draw(t, label)).In(zone)
		}
		amount := func(label string) float64 { return rapid.Float64Range(1e-9, 1e6).Draw(t, label) }
		k := Kept{Level: amount("level"), At: moment("at", 1<<62), Paused: rapid.Bool().Draw(t, "paused")}
		if k.Paused {
			k.Until = moment("until", 1<<62)
		}
		if rapid.Bool().Draw(t, "learned") {
			k.Learned = Learned{Rate: amount("rate"), Burst: amount("burst"), Left: amount("left"), At: moment("learned at", k.At.UnixNano())}
		}
		if rapid.Bool().Draw(t, "boot") {
			k.Boot, k.Up = rapid.StringMatching(`[0-9a-f-]{1,36}`).Draw(t, "its name"), time.Duration(rapid.Int64().Draw(t, "up"))
		}
		got, err := decodeState(appendState(nil, k))
		if err != nil {
			t.Fatalf("%+v is written and cannot be read: %v", k, err)
		}
		want, _ := json.Marshal(k)
		if again, _ := json.Marshal(got); string(again) != string(want) {
			t.Errorf("read %s, want %s", again, want)
		}
	})
}
