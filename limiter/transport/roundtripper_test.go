package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/transport"
)

// Seen to fail with a refused call that its tool's flow pays for.
func TestRefusedCallGoesAgainWithTheSameBodyAndItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 1, limiter.Options{})
		f.post("opener") // the only token, so that the other two wait side by side
		f.script = append(f.script, says(429, "Retry-After", "3"))
		made := from("first")
		done := make(chan int)
		go func() { status, _ := f.call(t.Context(), "POST", made, `{"text":"hello"}`); done <- status }()
		synctest.Wait()
		go f.post("second")
		if got := <-done; got != 200 {
			t.Fatalf("status = %d, want 200", got)
		}
		synctest.Wait()
		if j := f.journal(); len(j) != 3 || j[2].path != "/v1/first" || j[2].body != `{"text":"hello"}` {
			t.Errorf("sent = %+v, want the first call twice, whole, before the second", j)
		}
		if made.Attempts != 2 || made.Waited != 4*time.Second {
			t.Errorf("made = %d attempts, %v waited, want 2 and 4s", made.Attempts, made.Waited)
		}
		time.Sleep(time.Minute)
	})
}

func TestRefusedCallGivesUpAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, limiter.Options{})
		f.script = append(f.script, says(429, "Retry-After", "30"))
		start := time.Now()
		made := from("bot")
		made.Caller.Longest = 4 * time.Second
		_, err := f.call(t.Context(), "POST", made, "{}")
		if !errors.As(err, new(*limiter.Refusal)) || !errors.Is(err, limiter.ErrPaused) {
			t.Errorf("error = %v, want a refusal: %v", err, limiter.ErrPaused)
		}
		if got := time.Since(start); got != 4*time.Second {
			t.Errorf("gave up after %v, want 4s", got)
		}
		if n := f.rt.Bodies.Held(); n != 0 {
			t.Errorf("%d bytes of bodies still held", n)
		}
	})
}

// Seen to fail with writes that are sent once more, too.
func TestOnlyReadsAreSentOnceMoreWhenTheConnectionDies(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		err          error
		sends        int
		ok           bool
	}{
		{"a GET whose connection is reset", "GET", syscall.ECONNRESET, 2, true},
		{"a HEAD whose connection ends", "HEAD", io.EOF, 2, true},
		{"a POST whose connection is reset", "POST", syscall.ECONNRESET, 1, false},
		{"a DELETE whose connection ends", "DELETE", io.EOF, 1, false},
		{"a GET that was not answered in time", "GET", silence{}, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 1, 5, limiter.Options{})
				f.script = append(f.script, fails(tt.err))
				_, err := f.call(t.Context(), tt.method, from("bot"), "")
				var e *transport.SendError
				if tt.ok != (err == nil) || err != nil && (!errors.As(err, &e) || !e.Sent) {
					t.Errorf("error = %v, want none = %v, or a SendError of a call that was sent", err, tt.ok)
				}
				if got := f.calls(); got != tt.sends {
					t.Errorf("sent %d times, want %d", got, tt.sends)
				}
				if got := f.queue.State(); got.InFlight != 0 || got.Tokens != float64(5-tt.sends) {
					t.Errorf("%d slots taken and %v tokens left, want 0 and %d", got.InFlight, got.Tokens, 5-tt.sends)
				}
			})
		})
	}
}

func TestASecondDeathIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, limiter.Options{})
		f.script = append(f.script, fails(io.EOF), fails(io.EOF))
		_, err := f.call(t.Context(), "GET", from("bot"), "")
		var e *transport.SendError
		if !errors.As(err, &e) || f.calls() != 2 {
			t.Errorf("error = %v after %d sends, want a SendError after 2", err, f.calls())
		}
	})
}

// Seen to fail with slots that are held until the body was read.
func TestSlotIsFreeWhenTheHeaderIsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, limiter.Options{MaxInFlight: 1})
		f.takes = time.Second
		var open []io.Closer
		start := time.Now()
		for range 3 { // of one slot, while no body is read
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://roam/v1/chat.post", strings.NewReader("{}"))
			res, err := f.rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, res.Body)
			if got := f.queue.State().InFlight; got != 0 {
				t.Errorf("%d slots are taken although the header is here, want 0", got)
			}
			if n := f.rt.Bodies.Held(); n != 0 {
				t.Errorf("%d bytes of bodies are held although the header is here", n)
			}
		}
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("three calls of a second took %v, want 3s", got)
		}
		for _, body := range open {
			body.Close()
		}
	})
}

func TestToolThatLeavesWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, limiter.Options{})
		f.takes = time.Minute
		gone := errors.New("the tool hung up")
		ctx, leave := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { leave(gone) })
		if _, err := f.call(ctx, "GET", from("bot"), ""); !errors.Is(err, gone) {
			t.Errorf("error = %v, want the cause of the context", err)
		}
		if got := f.queue.State().InFlight; got != 0 {
			t.Errorf("%d slots taken, want 0", got)
		}
	})
}

// Seen to fail with bytes that are never given back, and with a file that is read on where it was left.
func TestLargeBodiesGoToDiskAndComeBackWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, limiter.Options{})
		f.rt.Bodies = transport.NewBodies(1<<20, t.TempDir())
		want := strings.Repeat("0123456789abcdef", 20_000) // 320 kB
		f.script = append(f.script, says(429, "Retry-After", "1"))
		if _, err := f.call(t.Context(), "POST", from("bot"), want); err != nil {
			t.Fatal(err)
		}
		for i, s := range f.journal() {
			if s.body != want {
				t.Errorf("attempt %d: %d bytes came, want the %d that were sent", i+1, len(s.body), len(want))
			}
		}
		f.rt.Bodies = transport.NewBodies(1<<20, "/nonexistent")
		if _, err := f.call(t.Context(), "POST", from("bot"), want); err != nil || f.journal()[len(f.journal())-1].body != want {
			t.Errorf("without a disk: %v, want it kept in memory", err)
		}
		_, err := f.call(t.Context(), "POST", from("bot"), strings.Repeat("x", 2<<20))
		if !errors.As(err, new(*limiter.Refusal)) || !errors.Is(err, transport.ErrBytesFull) || !errors.Is(err, limiter.ErrQueueFull) {
			t.Errorf("error = %v, want a refusal: %v", err, transport.ErrBytesFull)
		}
		if n := f.rt.Bodies.Held(); n != 0 {
			t.Errorf("%d bytes of bodies still held", n)
		}
	})
}

func TestBodyThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, limiter.Options{})
		broken := io.MultiReader(strings.NewReader("half"), errReader{})
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://roam/v1/chat.post", broken)
		_, err := f.rt.RoundTrip(req)
		if !errors.Is(err, transport.ErrBody) || !errors.Is(err, io.ErrUnexpectedEOF) || f.calls() != 0 {
			t.Errorf("error = %v after %d sends, want ErrBody and none", err, f.calls())
		}
	})
}

func TestAnswersThatAreNoRefusalDoNotPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1, 5, limiter.Options{})
		f.script = append(f.script, says(503, "Retry-After", "30"), says(200, "Retry-After", "30"))
		for range 2 {
			f.post("bot")
		}
		if f.queue.State().Paused {
			t.Error("paused by a Retry-After that speaks of the resource")
		}
	})
}

// How long an upload takes says nothing of the network.
//
// Seen to fail with uploads that are timed.
func TestAnUploadIsNotTimed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bytes int
		want  time.Duration // jitter, after another call of no time
	}{
		{"a call of 300 bytes", 300, 500 * time.Millisecond},
		{"an upload of 64 KiB", 64 << 10, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 1, 5, limiter.Options{})
				f.post("bot")
				f.takes = 500 * time.Millisecond
				if _, err := f.call(t.Context(), "POST", from("bot"), strings.Repeat("x", tt.bytes)); err != nil {
					t.Fatal(err)
				}
				if got := f.queue.State().Jitter; got != tt.want {
					t.Errorf("the jitter is %v, want %v", got, tt.want)
				}
			})
		})
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type silence struct{}

func (silence) Error() string   { return "no answer in time" }
func (silence) Timeout() bool   { return true }
func (silence) Temporary() bool { return false }
