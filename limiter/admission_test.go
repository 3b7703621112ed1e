package limiter

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// crowd is a line as somebody may find it: who came before, what Roam and the bucket are like, and whether Roam said 429.
type crowd struct {
	perSecond float64
	burst     int
	learned   Learned // its moment is the start
	options   Options
	takes     time.Duration // Roam's answers
	quiet     int           // seconds of Retry-After of the first answer; 0: it is an answer
	tools     []Tool
	before    []visit
	asker     Caller
	asks      time.Duration // when the asker comes
}

func drawCrowd(t *rapid.T) crowd {
	ms := func(label string, least, most int) time.Duration {
		return time.Duration(rapid.IntRange(least, most).Draw(t, label)) * time.Millisecond
	}
	c := crowd{
		perSecond: rapid.SampledFrom([]float64{0.5, 1, 1, 3, 10}).Draw(t, "rate"),
		burst:     rapid.IntRange(1, 10).Draw(t, "burst"),
		takes:     ms("takes", 0, 2500),
		asks:      ms("asks", 3000, 15_000),
	}
	c.options = Options{
		MaxInFlight: rapid.SampledFrom([]int{1, 1, 2, 10}).Draw(t, "slots"),
		MaxQueue:    rapid.SampledFrom([]int{5, 30, 1000}).Draw(t, "max_queue"),
		MaxWait:     10 * time.Hour,
		MaxPause:    time.Hour,
		Jitter:      mostDelay, // what is held back for delays changes while the call waits
		Adapt:       rapid.Bool().Draw(t, "adapt"),
	}
	if c.options.Adapt && rapid.Bool().Draw(t, "learned") {
		rate := c.perSecond * rapid.Float64Range(floor, 1).Draw(t, "learned rate")
		c.learned = Learned{Rate: rate, Burst: rapid.Float64Range(1, float64(c.burst)).Draw(t, "learned burst"), Left: rate * 1.25}
	}
	if rapid.Bool().Draw(t, "refused") {
		c.quiet = rapid.IntRange(1, 40).Draw(t, "quiet")
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "tools") {
		c.tools = append(c.tools, Tool{Name: fmt.Sprint("tool", i), Weight: rapid.IntRange(1, 4).Draw(t, "weight"),
			MaxQueue: rapid.SampledFrom([]int{0, 0, 3, 10}).Draw(t, "its max_queue")})
	}
	for range rapid.IntRange(1, 60).Draw(t, "before") {
		c.before = append(c.before, visit{tool: rapid.SampledFrom(c.tools).Draw(t, "tool"), urgency: rapid.IntRange(0, mildest).Draw(t, "urgency"), at: ms("at", 0, int(c.asks/time.Millisecond)-1)})
	}
	c.asker = Caller{Tool: rapid.SampledFrom(c.tools).Draw(t, "asker"), Urgency: rapid.IntRange(0, mildest).Draw(t, "its urgency"), Longest: ms("longest", 0, 30_000)}
	return c
}

// asked is what the asker was told, and what came of it.
type asked struct {
	err    error
	told   time.Duration // how long it would wait
	waited time.Duration
	turn   time.Duration // at the rate that it found
	paused bool
}

// ask has the asker come now.
func (c crowd) ask(t *testing.T, q *Queue) (a asked) {
	q.mu.Lock()
	now := time.Now()
	a.told = q.state.wait(now, q.state.newCall(now, c.asker))
	if latest := q.state.forecast(now).latest(q.state.calls.Len()); latest < a.told {
		t.Errorf("the wait is %v, want at most its bound, which is %v", a.told, latest)
	}
	a.turn = seconds(1 / q.state.bucket.Limits(now).Rate)
	a.paused = q.state.pause.remaining(now) > 0
	q.mu.Unlock()
	turn, err := q.Wait(t.Context(), c.asker)
	a.err, a.waited = err, time.Since(now)
	if err == nil {
		turn.Answered()
		turn.Release()
	}
	return a
}

// scene lets the crowd come, then the asker, and once more after Retry-After when it is refused, as the header says it: in whole
// seconds.
func (c crowd) scene(t *testing.T) (first, again asked) {
	o := c.options
	bucket, _ := NewLocal(c.perSecond, float64(c.burst), 0)
	if c.learned.Rate > 0 {
		c.learned.At = time.Now()
		o.Learned = c.learned
	}
	o.Bucket = bucket
	f := newFixture(t, c.perSecond, c.burst, 0, o)
	f.takes = c.takes
	f.burst = 1 << 20 // nobody is refused but by the script
	if c.quiet > 0 {
		f.script = append(f.script, says(429, "Retry-After", fmt.Sprint(c.quiet)))
	}
	go f.call(t.Context(), "POST", &Call{Caller: Caller{Tool: c.tools[0], Urgency: Usual, Longest: -1}}, "{}")
	synctest.Wait()
	for i, v := range c.before {
		go func() {
			time.Sleep(v.at + time.Duration(i)) // one after another, so that a schedule is the same each time
			f.call(t.Context(), "POST", &Call{Caller: Caller{Tool: v.tool, Urgency: v.urgency, Longest: -1}}, "{}")
		}()
	}
	time.Sleep(c.asks)
	synctest.Wait()
	first = c.ask(t, f.queue)
	var r *Refusal
	if errors.As(first.err, &r) {
		time.Sleep(time.Duration(max(math.Ceil(r.RetryAfter.Seconds()), 1)) * time.Second)
		synctest.Wait() // whoever leaves in this very moment has left
		again = c.ask(t, f.queue)
	}
	f.queue.Close()
	return first, again
}

// TestRetryAfterIsTrue: who is refused and comes back when it was told, while nobody else comes, has its turn within its longest
// wait.
//
// Seen to fail with a forecast of a turn too few.
func TestRetryAfterIsTrue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := drawCrowd(rt)
		var first, again asked
		synctest.Test(t, func(t *testing.T) { first, again = c.scene(t) })
		// In a pause a tool without other calls is told its end; it may wait less than a call of every other tool takes then.
		short := first.paused && c.asker.Longest < time.Duration(len(c.tools)+1)*first.turn+c.takes+punctual
		if first.err != nil && again.err != nil && !short {
			rt.Fatalf("refused (%v), and again when it came back then: %v after %v", first.err, again.err, again.waited)
		}
	})
}

// TestTheForecastIsTrue: who is let in has its turn within one turn of what was foretold, while nobody else comes. Where Roam's
// answers all take the same time, as here, it is a quarter of a turn: what a learned rate grows by meanwhile is all that is rounded.
//
// Seen to fail with a forecast of a turn too few.
func TestTheForecastIsTrue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := drawCrowd(rt)
		c.asker.Longest, c.options.MaxQueue, c.asker.Tool.MaxQueue = -1, 1000, 0
		var a asked
		synctest.Test(t, func(t *testing.T) { a, _ = c.scene(t) })
		if off := (a.waited - a.told).Abs(); a.err != nil || off > a.turn/4 {
			rt.Fatalf("waited %v, told %v, %v off and want at most a quarter of a turn, which is %v (%v)", a.waited, a.told, off, a.turn, a.err)
		}
	})
}

// A learned rate grows until slots let fewer leave than it does; from there on they are the bound.
func TestTheForecastWhereSlotsBecomeTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowd{perSecond: 20, burst: 1, learned: Learned{Rate: 5, Burst: 1, Left: 5}, options: Options{MaxInFlight: 10, Adapt: true, MaxWait: time.Hour},
			takes: time.Second, asks: time.Second, tools: []Tool{{Name: "bot"}}, asker: Caller{Tool: Tool{Name: "bot"}, Urgency: Usual, Longest: -1}}
		for range 600 {
			c.before = append(c.before, visit{tool: c.tools[0], urgency: Usual})
		}
		if a, _ := c.scene(t); a.err != nil || (a.waited-a.told).Abs() > a.turn {
			t.Errorf("waited %v, told %v, want no more between them than a turn, which is %v (%v)", a.waited, a.told, a.turn, a.err)
		}
	})
}

// An idle tool finds a turn of each of fifty others before it, at every moment until their lines are empty: coming back only
// once its own wait is over in the line as it is now is not enough.
func TestRetryAfterBesideFiftyBusyTools(t *testing.T) {
	for _, longest := range []time.Duration{0, 5 * time.Second, 20 * time.Second, 60 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := crowd{perSecond: 1, burst: 1, options: Options{MaxWait: time.Hour}, tools: []Tool{{Name: "busy0"}}, asker: Caller{Tool: Tool{Name: "idle"}, Urgency: Usual, Longest: longest}, asks: 30 * time.Second}
			for n := range 500 {
				c.before = append(c.before, visit{tool: Tool{Name: fmt.Sprint("busy", n%50), Weight: 1 + n%3}, urgency: Usual})
			}
			if first, again := c.scene(t); again.err != nil || first.err == nil && longest < 50*time.Second {
				t.Errorf("willing to wait %v: %v, and when it came back then: %v", longest, first.err, again.err)
			}
		})
	}
}

// BenchmarkAdmission has 1,000 calls queued, and a rate that is learned or not. Admission is what a call costs that is admitted;
// refusal is what it takes to say when to come again.
func BenchmarkAdmission(b *testing.B) {
	for _, tools := range []int{1, 50} {
		for _, learned := range []bool{false, true} {
			s, now := stands(1, 10, 0, Options{MaxQueue: 2000, Adapt: true}, 0)
			for n := range 1000 {
				c := s.newCall(now, Caller{Tool: Tool{Name: fmt.Sprint("tool", n%tools), Weight: 1 + n%4}, Urgency: n % (mildest + 1), Longest: -1})
				s.enter(c)
			}
			if learned {
				s.bucket.SetLearned(Learned{Rate: 0.4, Burst: 4, Left: 0.5, At: now})
			}
			c := s.newCall(now, Caller{Tool: Tool{Name: "tool0"}, Urgency: Usual, Longest: 5 * time.Second})
			b.Run(fmt.Sprint("admission/tools=", tools, "/learned=", learned), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					s.wait(now, c)
				}
			})
			b.Run(fmt.Sprint("refusal/tools=", tools, "/learned=", learned), func(b *testing.B) {
				for b.Loop() {
					s.retryAfter(now, c, time.Second)
				}
			})
		}
	}
}

// BenchmarkForecast has a full bucket of 1,000 tokens and an empty queue: what the RateLimit header of an idle quota costs.
func BenchmarkForecast(b *testing.B) {
	bucket, _ := NewLocal(1000, 1000, 0)
	q := New(Options{Bucket: bucket})
	defer q.Close()
	b.ReportAllocs()
	for b.Loop() {
		if calls, _ := q.Forecast(from("tool").Caller); calls < 1000 {
			b.Fatalf("%d calls would go at once, want 1000", calls)
		}
	}
}
