package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pulseHarness makes writes while the bucket is empty, and records what Roam gets and how each write is answered.
type pulseHarness struct {
	*harness
	all   sync.WaitGroup
	mu    sync.Mutex // guards the following
	seen  []string   // by Roam: targets and bodies
	codes []string
}

func newPulseHarness(t *testing.T, answer func() *http.Response, changes ...func(*setup)) *pulseHarness {
	p := &pulseHarness{}
	p.harness = newHarness(t, nil, roundTrips(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		p.seen = append(p.seen, r.URL.RequestURI()+" "+string(body))
		p.mu.Unlock()
		if answer != nil {
			return answer(), nil
		}
		return reply(r, 200, `{"ok":true}`), nil
	}), changes...)
	p.bucket.Restore(time.Now(), 0)
	return p
}

// write starts a call, and returns when it is queued.
func (p *pulseHarness) write(ctx context.Context, target, body string, header ...string) {
	p.all.Go(func() {
		w := p.do(ctx, "POST", target, body, header...)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.codes = append(p.codes, fmt.Sprintf("%s %d %s", body, w.Code, w.Header().Get(supersedeHeader)))
	})
	synctest.Wait()
}

func TestOnlyTheNewestPulseIsSent(t *testing.T) {
	const typing = "/v1/chat.typing"
	for _, tt := range []struct {
		name   string
		writes [][2]string // target, body
		want   []string
	}{
		{"pulses of one chat", [][2]string{{typing, `{"chatId":"C-1","n":1}`}, {typing, `{"chatId":"C-1","n":2}`},
			{typing, `{"chatId":"C-1","n":3}`}}, []string{`/v1/chat.typing {"chatId":"C-1","n":3}`}},
		{"pulses of two chats", [][2]string{{typing, `{"chatId":"C-1"}`}, {typing, `{"chatId":"C-2"}`}},
			[]string{`/v1/chat.typing {"chatId":"C-1"}`, `/v1/chat.typing {"chatId":"C-2"}`}},
		{"pulses of v0", [][2]string{{"/v0/chat.typing", `{"chat":"C-1","n":1}`}, {"/v0/chat.typing", `{"chat":"C-1","n":2}`}},
			[]string{`/v0/chat.typing {"chat":"C-1","n":2}`}},
		{"messages are never superseded", [][2]string{{"/v1/chat.post", `{"chatId":"C-1","n":1}`}, {"/v1/chat.post", `{"chatId":"C-1","n":2}`}},
			[]string{`/v1/chat.post {"chatId":"C-1","n":1}`, `/v1/chat.post {"chatId":"C-1","n":2}`}},
		{"a pulse without a subject is like any other", [][2]string{{typing, `{"email":"a@example.com"}`},
			{typing, `{"email":"b@example.com"}`}}, []string{`/v1/chat.typing {"email":"a@example.com"}`,
			`/v1/chat.typing {"email":"b@example.com"}`}},
		{"by configuration", [][2]string{{"/v1/board.set", `{"board":"b","n":1}`}, {"/v1/board.set", `{"board":"b","n":2}`}},
			[]string{`/v1/board.set {"board":"b","n":2}`}},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			p := newPulseHarness(t, nil, func(p *setup) {
				p.proxy.Tables.Routes = []Route{{Match: "POST /v1/board.set", Supersede: new("board")}}
			})
			for _, w := range tt.writes {
				p.write(t.Context(), w[0], w[1])
			}
			p.all.Wait()
			if !slices.Equal(p.seen, tt.want) {
				t.Errorf("Roam saw %q, want %q", p.seen, tt.want)
			}
			for _, got := range p.codes {
				superseded := !slices.ContainsFunc(tt.want, func(sent string) bool { return strings.HasSuffix(sent, strings.Fields(got)[0]) })
				if !strings.Contains(got, " 200 ") || strings.HasSuffix(got, "yes") != superseded {
					t.Errorf("answered %q, want 200 and superseded = %v", got, superseded)
				}
			}
		})
	}
}

// A typing pulse announces a message. Once the message is queued, the pulse is not sent any more.
func TestAMessageEndsTheTypingInItsChat(t *testing.T) {
	for _, tt := range []struct {
		name, write, body string
		ended             bool
	}{
		{"the answer", "/v1/chat.post", `{"chatId":"C-1"}`, true},
		{"a piece of it", "/v1/chat.appendStream", `{"chatId":"C-1","text":"x"}`, true},
		{"a message elsewhere", "/v1/chat.post", `{"chatId":"C-2"}`, false},
		{"a message that names no chat", "/v1/chat.post", `{"email":"a@example.com"}`, false},
		{"a write of another kind", "/v1/group.rename", `{"chatId":"C-1"}`, false},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			p := newPulseHarness(t, nil)
			p.write(t.Context(), "/v1/chat.typing", `{"chatId":"C-1","n":1}`)
			p.write(t.Context(), tt.write, tt.body)
			p.all.Wait()
			if typed := len(p.seen) == 2; typed == tt.ended {
				t.Errorf("Roam saw %q, want the typing ended: %v", p.seen, tt.ended)
			}
			want := `{"chatId":"C-1","n":1} 200 `
			if tt.ended {
				want += "yes"
			}
			if !slices.Contains(p.codes, want) {
				t.Errorf("answered %q, want %q among them", p.codes, want)
			}
		})
	}
}

// A newer pulse takes the place of the first in the queue. Otherwise pulses every two seconds would never be sent while the queue is long.
func TestANewerPulseKeepsThePlaceOfTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulseHarness(t, nil)
		p.write(t.Context(), "/v1/chat.typing", `{"chatId":"C-1","n":1}`)
		p.write(t.Context(), "/v1/chat.post", `{"chatId":"C-2","text":"the answer"}`)
		p.write(t.Context(), "/v1/chat.typing", `{"chatId":"C-1","n":2}`)
		p.all.Wait()
		want := []string{`/v1/chat.typing {"chatId":"C-1","n":2}`, `/v1/chat.post {"chatId":"C-2","text":"the answer"}`}
		if !slices.Equal(p.seen, want) {
			t.Errorf("Roam saw %q, want %q", p.seen, want)
		}
	})
}

func TestAPulseOutlivesTheToolThatBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulseHarness(t, nil)
		leaves, cancel := context.WithCancel(t.Context())
		p.write(leaves, "/v1/chat.typing", `{"chatId":"C-1","n":1}`)
		p.write(t.Context(), "/v1/chat.typing", `{"chatId":"C-1","n":2}`)
		cancel()
		p.all.Wait()
		if want := []string{`/v1/chat.typing {"chatId":"C-1","n":2}`}; !slices.Equal(p.seen, want) {
			t.Errorf("Roam saw %q, want %q", p.seen, want)
		}
	})
}

func TestAnAbandonedPulseIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulseHarness(t, nil)
		leaves, cancel := context.WithCancel(t.Context())
		p.write(leaves, "/v1/chat.typing", `{"chatId":"C-1","n":1}`)
		p.write(leaves, "/v1/chat.typing", `{"chatId":"C-1","n":2}`)
		cancel()
		p.all.Wait()
		time.Sleep(time.Minute)
		if len(p.seen) > 0 {
			t.Errorf("Roam saw %q, want nothing", p.seen)
		}
	})
}

// A pulse that arrives after the previous one was sent is a write of its own.
func TestASentPulseIsNotSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulseHarness(t, func() *http.Response {
			time.Sleep(5 * time.Second)
			return reply(&http.Request{}, 200, `{"ok":true}`)
		})
		p.write(t.Context(), "/v1/chat.typing", `{"chatId":"C-1","n":1}`)
		time.Sleep(2 * time.Second)
		p.write(t.Context(), "/v1/chat.typing", `{"chatId":"C-1","n":2}`)
		p.all.Wait()
		if len(p.seen) != 2 {
			t.Errorf("Roam saw %q, want both", p.seen)
		}
	})
}

// The unknown outcome of a pulse does not refuse the next one. Seen to fail: one time-out refused typing for two minutes.
func TestAPulseOfUnknownOutcomeIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var status atomic.Int64
		status.Store(504)
		p := newPulseHarness(t, func() *http.Response { return reply(&http.Request{}, int(status.Load()), ``) })
		p.write(t.Context(), "/v1/chat.typing", `{"chatId":"C-1"}`)
		time.Sleep(3 * time.Second)
		status.Store(200)
		p.write(t.Context(), "/v1/chat.typing", `{"chatId":"C-1"}`)
		p.all.Wait()
		if want := []string{`{"chatId":"C-1"} 504 `, `{"chatId":"C-1"} 200 `}; !slices.Equal(p.codes, want) {
			t.Errorf("answered %q, want %q", p.codes, want)
		}
	})
}
