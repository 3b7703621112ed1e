package limiter

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// busy is a machine that stalls now and then: no call that was about to be written, or was not counted by Roam yet, goes on
// before that is over.
type busy struct {
	random *rand.Rand
	ours   bool // this process stalls, and not Roam's

	mu    sync.Mutex
	until time.Time // it stalls
	at    time.Time // and again then
}

// wait lets a stall pass, if there is one.
func (b *busy) wait() {
	b.mu.Lock()
	now := time.Now()
	if !now.Before(b.at) {
		b.until = now.Add(time.Duration(b.random.Int64N(int64(900 * time.Millisecond))))
		b.at = b.until.Add(time.Duration(b.random.Int64N(int64(20 * time.Second))))
	}
	stall := b.until.Sub(now)
	b.mu.Unlock()
	time.Sleep(max(stall, 0))
}

// pass takes a permit's call to Roam.
func (b *busy) pass(p *Permit) {
	if b.ours {
		b.wait()
	}
	p.WroteRequest()
	if !b.ours {
		b.wait()
	}
	time.Sleep(20 * time.Millisecond)
}

// Stalls of this machine, of the network and of Roam's are held back for once they are measured. A flood causes no 429, and
// takes as long as the quota asks for.
//
// Seen to fail with the setting alone: of 60 floods 40 had a call refused.
func TestAFloodOnABusyMachine(t *testing.T) {
	for seed := range uint64(30) {
		for _, ours := range []bool{true, false} {
			t.Run(fmt.Sprint("seed ", seed, ", this process stalls: ", ours), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, 1, 10, 200*time.Millisecond, Options{MaxWait: time.Hour, Jitter: 200 * time.Millisecond, Adapt: true})
					f.way = (&busy{random: rand.New(rand.NewPCG(seed, 7)), ours: ours}).pass
					start := time.Now()
					var calls sync.WaitGroup
					for range 200 {
						calls.Go(func() { f.post("flood") })
					}
					calls.Wait()
					if took := time.Since(start); f.refused > 0 || took > 194*time.Second {
						t.Errorf("Roam refused %d of 200 calls, which took %v; want none, and 191s", f.refused, took)
					}
				})
			})
		}
	}
}
