package repeat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

const remember = 2 * time.Minute

func newMemory(shared SharedStore) *Memory {
	m := New()
	m.Configure(remember, shared)
	return m
}

func message(text string) Write {
	body, _ := BodyDigest(strings.NewReader(text))
	return Write{Tool: "bot", Fingerprint: Fingerprint("POST", "/v1/chat.post", "", body)}
}

func keyed(key, text string) Write {
	w := message(text)
	w.Key = key
	return w
}

// reply returns an answer of Roam, whose body ends with an error if end is not nil.
func reply(status int, body string, end error) *http.Response {
	var r io.Reader = strings.NewReader(body)
	if end != nil {
		r = io.MultiReader(r, iotest.ErrReader(end))
	}
	return &http.Response{StatusCode: status, Header: http.Header{
		"Content-Type": {"application/json"}, "Date": {"Mon, 01 Jan 2024 00:00:00 GMT"}, "Set-Cookie": {"a=b"}, "Ratelimit": {`"x";r=1`},
	}, Body: io.NopCloser(r), ContentLength: -1}
}

// answered reports an answer of Roam, and reads its body as a client does.
func answered(p *Pending, status int, body string, end error) {
	res := reply(status, body, end)
	p.Answered(res)
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

// outcome begins a write, and returns how it is decided. If the write may be sent, outcome reports that it was not.
func outcome(t *testing.T, m *Memory, w Write, wait time.Duration) string {
	t.Helper()
	p, a, err := m.Begin(t.Context(), w, wait)
	switch {
	case p != nil:
		p.NotSent()
		return "sent"
	case a != nil:
		return fmt.Sprintf("replayed %d %s", a.Status, a.Body)
	}
	return err.Error()
}

func begin(t *testing.T, m *Memory, w Write) *Pending {
	t.Helper()
	p, a, err := m.Begin(t.Context(), w, time.Minute)
	if p == nil {
		t.Fatalf("Begin = %v, %v, want a Pending", a, err)
	}
	return p
}

const (
	unknown502 = "repeat: the outcome of the same write is unknown (it ended with 502)"
	unknown504 = "repeat: the outcome of the same write is unknown (it ended with 504)"
)

// A repeat is sent only if Roam did not execute the first write, or answered it completely.
func TestARepeatAfterEachOutcome(t *testing.T) {
	cut := errors.New("connection reset")
	for _, tt := range []struct {
		name           string
		first          func(*Pending)
		without, under string // what the repeat gets without a key, and under one
	}{
		{"a refusal", (*Pending).NotSent, "sent", "sent"},
		{"silence of Roam", func(p *Pending) { p.Unknown(504) }, unknown504, unknown504},
		{"a broken connection", func(p *Pending) { p.Unknown(502) }, unknown502, unknown502},
		{"an end that was not reported", (*Pending).Close, unknown502, unknown502},
		{"an answer", func(p *Pending) { answered(p, 200, "ok", nil) }, "sent", "replayed 200 ok"},
		{"an answer without a body", func(p *Pending) { answered(p, 204, "", nil) }, "sent", "replayed 204 "},
		{"an answer that breaks off", func(p *Pending) { answered(p, 200, "o", cut) }, unknown502, unknown502},
		{"an answer that breaks off at once", func(p *Pending) { answered(p, 200, "", cut) }, unknown502, unknown502},
		{"an answer that its client did not read", func(p *Pending) {
			res := reply(200, "ok", nil)
			p.Answered(res)
			res.Body.Read(make([]byte, 1))
			res.Body.Close()
		}, unknown502, unknown502},
		{"Roam's own error", func(p *Pending) { answered(p, 500, "oops", nil) }, "sent", "replayed 500 oops"},
		{"Roam's own error that breaks off", func(p *Pending) { answered(p, 500, "oo", cut) }, unknown502, unknown502},
		{"a bad request", func(p *Pending) { answered(p, 400, "bad", nil) }, "sent", "replayed 400 bad"},
		{"a bad request that breaks off", func(p *Pending) { answered(p, 400, "ba", cut) }, "sent", "sent"},
		{"a key that Roam refuses", func(p *Pending) { answered(p, 401, "no", nil) }, "sent", "sent"},
		{"Roam's 429", func(p *Pending) { answered(p, 429, "slow", nil) }, "sent", "sent"},
		{"Roam's 503", func(p *Pending) { answered(p, 503, "later", nil) }, "sent", "sent"},
		{"a large answer", func(p *Pending) { answered(p, 200, strings.Repeat("x", maxAnswer+1), nil) }, "sent",
			"repeat: the first write with this Idempotency-Key was answered with 200; the answer is too large to be kept"},
		{"the largest answer", func(p *Pending) { answered(p, 200, strings.Repeat("x", maxAnswer), nil) }, "sent",
			"replayed 200 " + strings.Repeat("x", maxAnswer)},
	} {
		for _, w := range []Write{message("hello"), keyed("k", "hello")} {
			t.Run(fmt.Sprintf("%s, key %q", tt.name, w.Key), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMemory(newFake())
					tt.first(begin(t, m, w))
					want := tt.without
					if w.Key != "" {
						want = tt.under
					}
					other := newMemory(m.shared)
					for range 2 {
						if got := outcome(t, m, w, 0); got != want {
							t.Errorf("the repeat: %.100s, want %.100s", got, want)
						}
						if got := outcome(t, other, w, 0); got != want {
							t.Errorf("the repeat at another replica: %.100s, want %.100s", got, want)
						}
					}
				})
			})
		}
	}
}

func TestARepeatIsTheSameToolMethodPathQueryAndBody(t *testing.T) {
	m := newMemory(nil)
	first := message("hello")
	begin(t, m, first).Unknown(502)
	body, _ := BodyDigest(strings.NewReader("hello"))
	for _, tt := range []struct {
		name string
		w    Write
	}{
		{"another tool", Write{Tool: "other", Fingerprint: first.Fingerprint}},
		{"another method", Write{Tool: "bot", Fingerprint: Fingerprint("PUT", "/v1/chat.post", "", body)}},
		{"another path", Write{Tool: "bot", Fingerprint: Fingerprint("POST", "/v0/chat.post", "", body)}},
		{"another query", Write{Tool: "bot", Fingerprint: Fingerprint("POST", "/v1/chat.post", "a=b", body)}},
		{"another body", message("hello!")},
		{"a key", keyed("k", "hello")},
		{"asked to send it", Write{Tool: "bot", Fingerprint: first.Fingerprint, Resend: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := outcome(t, m, tt.w, 0); got != "sent" {
				t.Errorf("got %s, want it sent", got)
			}
		})
	}
	if got := outcome(t, m, first, 0); got != unknown502 {
		t.Errorf("the same: %s, want %s", got, unknown502)
	}
}

func TestUnknownOutcomesAreForgotten(t *testing.T) {
	for _, w := range []Write{message("hello"), keyed("k", "hello")} {
		t.Run(fmt.Sprintf("key %q", w.Key), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(newFake())
				begin(t, m, w).Unknown(504)
				time.Sleep(remember - time.Millisecond)
				if got := outcome(t, m, w, 0); got != unknown504 {
					t.Errorf("just before writes.remember is over: %s, want %s", got, unknown504)
				}
				time.Sleep(time.Millisecond)
				if got := outcome(t, m, w, 0); got != "sent" {
					t.Errorf("after writes.remember: %s, want it sent", got)
				}
			})
		})
	}
}

func TestRememberZeroSendsAWriteAgain(t *testing.T) {
	m := New()
	m.Configure(0, newFake())
	for _, w := range []Write{message("hello"), keyed("k", "hello")} {
		t.Run(fmt.Sprintf("key %q", w.Key), func(t *testing.T) {
			begin(t, m, w).Unknown(504)
			if got := outcome(t, m, w, 0); got != "sent" {
				t.Errorf("%s, want it sent", got)
			}
		})
	}
	answered(begin(t, m, keyed("k", "hello")), 200, "ok", nil)
	if got := outcome(t, m, keyed("k", "hello"), 0); got != "replayed 200 ok" {
		t.Errorf("an answered key: %s, want it replayed", got)
	}
}

func TestAResentWriteIsJudgedByItsOwnOutcome(t *testing.T) {
	for _, w := range []Write{message("hello"), keyed("k", "hello")} {
		t.Run(fmt.Sprintf("key %q", w.Key), func(t *testing.T) {
			m := newMemory(newFake())
			other := newMemory(m.shared)
			begin(t, m, w).Unknown(504)
			again := w
			again.Resend = true
			begin(t, m, again).NotSent()
			if got := outcome(t, m, w, 0); got != unknown504 {
				t.Errorf("after a resend that was refused: %s, want the first's outcome", got)
			}
			answered(begin(t, m, again), 200, "ok", nil)
			want := "sent"
			if w.Key != "" {
				want = "replayed 200 ok"
			}
			if got := outcome(t, m, w, 0); got != want {
				t.Errorf("after a resend that was answered: %s, want %s", got, want)
			}
			if got := outcome(t, other, w, 0); got != want {
				t.Errorf("the same at another replica: %s, want %s", got, want)
			}
		})
	}
}

func TestAKeyWaitsForTheFirst(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*Pending)
		want string
	}{
		{"that is answered", func(p *Pending) { answered(p, 200, "ok", nil) }, "replayed 200 ok after 5s"},
		{"that is refused, and then sends", (*Pending).NotSent, "sent after 5s"},
		{"of unknown outcome", func(p *Pending) { p.Unknown(504) }, unknown504 + " after 5s"},
		{"for as long as it may wait", nil, ErrInProgress.Error() + " after 10s"},
	} {
		for _, replicas := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d replicas", tt.name, replicas), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMemory(newFake())
					second := m
					if replicas == 2 {
						second = newMemory(m.shared)
					}
					p, start := begin(t, m, keyed("k", "hello")), time.Now()
					if tt.end != nil {
						time.AfterFunc(5*time.Second, func() { tt.end(p) })
					}
					got := outcome(t, second, keyed("k", "hello"), 10*time.Second)
					got += " after " + time.Since(start).Round(time.Second).String()
					if got != tt.want {
						t.Errorf("got %s, want %s", got, tt.want)
					}
					p.NotSent()
				})
			})
		}
	}
}

func TestAKeyIsForOneWrite(t *testing.T) {
	m := newMemory(newFake())
	other := newMemory(m.shared)
	p := begin(t, m, keyed("k", "hello"))
	for _, stage := range []string{"in progress", "answered"} {
		for name, m := range map[string]*Memory{"here": m, "at another replica": other} {
			if got := outcome(t, m, keyed("k", "bye"), time.Hour); got != ErrKeyReused.Error() {
				t.Errorf("another body while the first is %s, %s: %s, want %v", stage, name, got, ErrKeyReused)
			}
		}
		answered(p, 200, "ok", nil)
	}
	another := keyed("k", "hello")
	another.Tool = "exporter"
	if got := outcome(t, m, another, 0); got != "sent" {
		t.Errorf("another tool's key: %s, want it sent", got)
	}
}

func TestTheHeaderThatIsReplayed(t *testing.T) {
	m := newMemory(nil)
	answered(begin(t, m, keyed("k", "hello")), 201, "ok", nil)
	_, a, err := m.Begin(t.Context(), keyed("k", "hello"), 0)
	if err != nil || a.Status != 201 || len(a.Header) != 1 || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("replayed %+v (%v), want Content-Type and nothing of the moment", a, err)
	}
}

func TestAToolThatLeavesWaitsNoLonger(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprint("shared ", shared), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(newFake())
				second := m
				if shared {
					second = newMemory(m.shared)
				}
				p := begin(t, m, keyed("k", "hello"))
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				_, _, err := second.Begin(ctx, keyed("k", "hello"), time.Hour)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want the cause of the context", err)
				}
				p.NotSent()
			})
		})
	}
}

// A client that times out may repeat its write immediately. The repeat may arrive before the first connection has ended.
func TestARepeatThatOvertakesTheEndOfTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(nil)
		p := begin(t, m, message("hello"))
		p.Sent()
		time.Sleep(2 * time.Second)
		time.AfterFunc(20*time.Millisecond, func() { p.Unknown(504) })
		if got := outcome(t, m, message("hello"), time.Minute); got != unknown504 {
			t.Errorf("the repeat: %s, want %s", got, unknown504)
		}
	})
}

// Two equal messages may be intended, so without a key the second does not wait for the first.
func TestEqualWritesAtOnceAreBothSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, start := newMemory(newFake()), time.Now()
		p := begin(t, m, message("hello"))
		if got := outcome(t, m, message("hello"), 0); got != "sent" || time.Since(start) > 0 {
			t.Errorf("the second: %s after %v, want it sent at once", got, time.Since(start))
		}
		time.Sleep(2 * time.Second) // the first is queued
		start = time.Now()
		if got := outcome(t, m, message("hello"), 0); got != "sent" || time.Since(start) > 0 {
			t.Errorf("one beside a queued one: %s after %v, want it sent at once", got, time.Since(start))
		}
		p.Sent()
		time.Sleep(2 * time.Second) // and Roam takes a long time
		start = time.Now()
		if got := outcome(t, m, message("hello"), 0); got != "sent" || time.Since(start) > lateClose {
			t.Errorf("the third: %s after %v, want it sent within %v", got, time.Since(start), lateClose)
		}
		p.NotSent()
	})
}
