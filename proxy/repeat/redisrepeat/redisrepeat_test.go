package redisrepeat

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"roamproxy/proxy/repeat"
	"roamproxy/proxy/roamtest/redistest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

const remember = 2 * time.Minute

// replicas are Memories over one real Redis.
type replicas struct {
	client rueidis.Client
	away   atomic.Bool
	here   *repeat.Memory
	other  *repeat.Memory
	store  *Store
}

func newReplicas(t *testing.T) *replicas {
	t.Helper()
	o, err := rueidis.ParseURL(redistest.NewRedis(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	o.DisableCache, o.DisableRetry = true, true
	r := &replicas{here: repeat.New(), other: repeat.New()}
	if r.client, err = rueidis.NewClient(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	r.store = New(func() rueidis.Client {
		if r.away.Load() {
			return nil
		}
		return r.client
	}, "test")
	r.here.Configure(remember, r.store)
	r.other.Configure(remember, r.store)
	return r
}

func write(key, text string) repeat.Write {
	body, _ := repeat.BodyDigest(strings.NewReader(text))
	return repeat.Write{Tool: "bot", Key: key, Fingerprint: repeat.Fingerprint("POST", "/v1/chat.post", "", body)}
}

func begin(t *testing.T, m *repeat.Memory, w repeat.Write) *repeat.Pending {
	t.Helper()
	p, a, err := m.Begin(t.Context(), w, 0)
	if p == nil {
		t.Fatalf("Begin = %v, %v, want a Pending", a, err)
	}
	return p
}

func answer(p *repeat.Pending, body string) {
	res := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader(body))}
	p.Answered(res)
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

// unknown demands that a repeat is not sent, as a write of unknown outcome with this status.
func unknown(t *testing.T, m *repeat.Memory, w repeat.Write, status int) {
	t.Helper()
	p, a, err := m.Begin(t.Context(), w, 0)
	if u, ok := err.(*repeat.UnknownError); !ok || u.Status != status {
		t.Errorf("the repeat: %v, %v, %v, want an unknown outcome with %d", p, a, err, status)
	}
}

func TestAnotherReplicaKnowsOfAnUnknownOutcome(t *testing.T) {
	r := newReplicas(t)
	for _, w := range []repeat.Write{write("", "hello"), write("k", "hello")} {
		t.Run(fmt.Sprintf("key %q", w.Key), func(t *testing.T) {
			begin(t, r.here, w).Unknown(504)
			unknown(t, r.other, w, 504)
			for _, left := range r.keys(t) {
				if life, err := r.client.Do(t.Context(), r.client.B().Pttl().Key(left).Build()).AsInt64(); err != nil || life <= 0 ||
					life > remember.Milliseconds() {
					t.Errorf("%s lives for another %d ms (%v), want at most %v", left, life, err, remember)
				}
			}
		})
	}
}

func (r *replicas) keys(t *testing.T) []string {
	t.Helper()
	all, err := r.client.Do(t.Context(), r.client.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil || len(all) == 0 {
		t.Fatalf("the keys in Redis: %v, %v; want some", all, err)
	}
	return all
}

func TestAnotherReplicaReplaysAnAnswer(t *testing.T) {
	r, w := newReplicas(t), write("k", "hello")
	p := begin(t, r.here, w)
	if _, _, err := r.other.Begin(t.Context(), w, 0); err != repeat.ErrInProgress {
		t.Errorf("while the first is in progress: %v, want %v", err, repeat.ErrInProgress)
	}
	if _, _, err := r.other.Begin(t.Context(), write("k", "bye"), time.Hour); err != repeat.ErrKeyReused {
		t.Errorf("with another body: %v, want %v", err, repeat.ErrKeyReused)
	}
	body := strings.Repeat("\x00", 64<<10)
	answer(p, body)
	_, a, err := r.other.Begin(t.Context(), w, 0)
	if err != nil || a.Status != 200 || !bytes.Equal(a.Body, []byte(body)) || a.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("the repeat: %v, want the answer", err)
	}
}

func TestAReleasedKeyIsSentByTheReplicaThatWaits(t *testing.T) {
	r, w := newReplicas(t), write("k", "hello")
	p := begin(t, r.here, w)
	time.AfterFunc(50*time.Millisecond, p.NotSent)
	again, a, err := r.other.Begin(t.Context(), w, 20*time.Second)
	if again == nil {
		t.Fatalf("the one that waited: %v, %v, want a Pending", a, err)
	}
	again.NotSent()
	if left, _ := r.client.Do(t.Context(), r.client.B().Dbsize().Build()).AsInt64(); left != 0 {
		t.Errorf("%d keys are left in Redis, want none", left)
	}
}

func TestOneOfManyReplicasSends(t *testing.T) {
	r, w := newReplicas(t), write("k", "hello")
	var mu sync.Mutex
	sent := 0
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			m := r.here
			if i%2 == 0 {
				m = r.other
			}
			p, a, err := m.Begin(t.Context(), w, 20*time.Second)
			switch {
			case p != nil:
				mu.Lock()
				sent++
				mu.Unlock()
				answer(p, "ok")
			case err != nil:
				t.Errorf("%v, want the answer", err)
			case string(a.Body) != "ok":
				t.Errorf("replayed %q, want ok", a.Body)
			}
		})
	}
	all.Wait()
	if sent != 1 {
		t.Errorf("it was sent %d times, want once", sent)
	}
}

func TestAnUnrenewedClaimIsAnUnknownOutcome(t *testing.T) {
	r, w := newReplicas(t), write("k", "hello")
	p := begin(t, r.here, w)
	key := r.keys(t)[0]
	if err := r.client.Do(t.Context(), r.client.B().Pexpire().Key(key).Milliseconds(remember.Milliseconds()).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	unknown(t, r.other, w, 502)
	answer(p, "ok") // it hung, and did not die
	if _, a, err := r.other.Begin(t.Context(), w, 0); err != nil || string(a.Body) != "ok" {
		t.Errorf("when it was back: %v, want its answer", err)
	}
}

func TestARenewedClaimLives(t *testing.T) {
	r := newReplicas(t)
	mine := &repeat.Record{State: repeat.Running}
	if _, err := r.store.Claim(t.Context(), "k", "me", mine, remember); err != nil {
		t.Fatal(err)
	}
	key := r.keys(t)[0]
	r.client.Do(t.Context(), r.client.B().Pexpire().Key(key).Milliseconds(1000).Build())
	for _, tt := range []struct {
		owner string
		least time.Duration
		most  time.Duration
	}{{"another", 0, time.Second}, {"me", remember, repeat.Lease + remember}} {
		if err := r.store.Renew(t.Context(), "k", tt.owner, remember); err != nil {
			t.Fatal(err)
		}
		ms, err := r.client.Do(t.Context(), r.client.B().Pttl().Key(key).Build()).AsInt64()
		if life := time.Duration(ms) * time.Millisecond; err != nil || life <= tt.least || life > tt.most {
			t.Errorf("renewed by %s it lives for another %v (%v), want between %v and %v", tt.owner, life, err, tt.least, tt.most)
		}
	}
}

func TestWhileRedisIsUnreachableEachReplicaRemembersAlone(t *testing.T) {
	r, w := newReplicas(t), write("k", "hello")
	r.away.Store(true)
	begin(t, r.here, w).Unknown(504)
	unknown(t, r.here, w, 504)
	begin(t, r.other, w).NotSent()
}

// What another program, or a later roamproxy, left under a key counts as a write that was sent.
func TestARecordThatCannotBeReadIsAnUnknownOutcome(t *testing.T) {
	for _, w := range []repeat.Write{write("", "hello"), write("k", "hello")} {
		for name, content := range map[string]string{
			"not JSON": "x", "of another state": `{"state":"undone"}`,
			"too large": `{"state":"unknown","status":502}` + strings.Repeat(" ", repeat.MaxRecord),
		} {
			r := newReplicas(t)
			begin(t, r.here, w).Unknown(504)
			key := r.keys(t)[0]
			if err := r.client.Do(t.Context(), r.client.B().Hset().Key(key).FieldValue().FieldValue("record", content).Build()).Error(); err != nil {
				t.Fatal(err)
			}
			t.Run(name, func(t *testing.T) { unknown(t, r.other, w, 502) })
		}
	}
}
