package quotafile

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/bootclock"
)

// The wall clock is set while no process runs. Forward, a restart would believe in a whole burst that never accrued, and in the end
// of a pause; back, the file is of the future. On another run of the machine there is no other clock to ask.
//
// Seen to fail with the wall clock believed, and with the other one believed on another run of the machine.
func TestTheWallClockIsSetWhileNoProcessRuns(t *testing.T) {
	boot := bootclock.Boot()
	if boot == "" {
		t.Fatal("this machine does not tell which of its runs this is")
	}
	for _, tt := range []struct {
		name    string
		forward time.Duration
		boot    string
		level   float64
		pause   time.Duration // of half a minute, three seconds later
		says    string
	}{
		{"not at all", 0, boot, 3, 27 * time.Second, ""},
		{"forward by a leap", time.Second, boot, 3, 27 * time.Second, ""},
		{"forward by an hour", time.Hour, boot, 3, 27 * time.Second, ""},
		{"back by a leap", -time.Second, boot, 2, 28 * time.Second, ""},
		{"back by an hour", -time.Hour, boot, 0, 0, "future"},
		{"and the machine was started anew, an hour later", time.Hour, "another", 10, -time.Hour + 27*time.Second, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				open(t, dir).Keep(limiter.Kept{Level: 0, At: time.Now(), Paused: true, Until: time.Now().Add(30 * time.Second)})
				time.Sleep(3 * time.Second)
				body, _ := open(t, dir).record.Read()
				k, err := decode(body)
				if err != nil {
					t.Fatal(err)
				}
				k.At, k.Until, k.Boot = k.At.Add(-tt.forward), k.Until.Add(-tt.forward), tt.boot
				write(t, dir, version, k)
				b, _ := limiter.NewLocal(1, 10, 0)
				r, err := open(t, dir).Restore(b)
				wanted := err == nil && tt.says == "" || err != nil && tt.says != "" && strings.Contains(err.Error(), tt.says)
				if got := b.Level(time.Now()); got != tt.level || r.Paused != tt.pause || !wanted {
					t.Errorf("the level is %v and the pause %v (%v), want %v, %v and %q", got, r.Paused, err, tt.level, tt.pause, tt.says)
				}
			})
		})
	}
}
