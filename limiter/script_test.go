package limiter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/proxy/roamtest/redistest"
)

// scripted is the script on a clock and a server of the test's own.
type scripted struct {
	t      *testing.T
	client rueidis.Client
	script *rueidis.Lua
	key    string
	now    time.Duration // since some start
	server string
	heard  map[string]int64
}

func newScripted(t *testing.T) *scripted {
	client, err := dialer(redistest.NewRedis(t))()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	text := strings.NewReplacer(
		"redis.call('TIME')", "{ARGV[2], ARGV[3]}",
		"string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')", "ARGV[4]",
	).Replace(shareScript)
	return &scripted{t: t, client: client, script: rueidis.NewLuaScript(text)}
}

// anew is a quota of two replicas with one call a second and ten at once, of whom both have been there long enough, and the bucket is full.
func (m *scripted) anew(name string) {
	m.key, m.now, m.server, m.heard = "quota:"+name, 1000*time.Second, "one", map[string]int64{}
	m.passes(20*time.Second, "a", "b")
}

// passes lets time pass in which these are heard.
func (m *scripted) passes(d time.Duration, who ...string) {
	for end := m.now + d; m.now < end; {
		for _, w := range who {
			m.ask(w)
		}
		m.now = min(m.now+lease/2, end)
	}
	for _, w := range who {
		m.ask(w)
	}
}

func (m *scripted) ask(who string, change ...func(*question)) (s shared) {
	m.t.Helper()
	q := question{
		Replica: who, Heard: m.heard[who], Waiting: 1, Replicas: 2, Every: 1e6, Burst: 10e6, Lease: lease.Microseconds(),
		Settling: settling.Microseconds(), Late: late.Microseconds(), Forget: forget.Microseconds(),
	}
	for _, c := range change {
		c(&q)
	}
	text, _ := json.Marshal(q)
	us := m.now.Microseconds()
	if err := m.script.Exec(m.t.Context(), m.client, []string{m.key}, []string{string(text), fmt.Sprint(us / 1e6), fmt.Sprint(us % 1e6), m.server}).DecodeJSON(&s); err != nil {
		m.t.Fatal(err)
	}
	m.heard[who] = s.Now
	return s
}

func wants(q *question) { q.Wants = true }

func saying(kind string, generation uint64, quiet time.Duration) func(*question) {
	return func(q *question) { q.Word, q.Generation, q.Quiet = kind, generation, quiet.Microseconds() }
}

// spends takes what is in the bucket, by both.
func (m *scripted) spends() {
	m.t.Helper()
	for i := range 10 {
		if s := m.ask([]string{"a", "b"}[i%2], wants); s.Wait != 0 {
			m.t.Fatalf("token %d of ten: wait %v", i, micros(s.Wait))
		}
	}
}

// Each sentence is one of the script's comparisons, and was seen to fail with that one changed.
func TestTheScriptSentenceBySentence(t *testing.T) {
	m := newScripted(t)
	check := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	waits := func(what string, s shared, want time.Duration) { t.Helper(); check(what, micros(s.Wait), want) }
	const ms = time.Millisecond

	m.anew("turns")
	m.spends()
	waits("who asks first has the next token", m.ask("a", wants), time.Second)
	waits("who asks second has the one after", m.ask("b", wants), 2*time.Second)
	waits("who asks again keeps the place", m.ask("a", wants), time.Second)
	check("one other waits", m.ask("a").Others, 1)
	m.passes(time.Second+late, "a", "b")
	waits("who is late by no more than that keeps the turn", m.ask("b", wants), time.Second-late)
	m.now += ms
	check("who is later waits for nothing any more", m.ask("b").Others, 0)
	waits("and the next has the token", m.ask("b", wants), 0)
	waits("who comes late has the place of before", m.ask("a", wants), time.Second-late-ms)
	m.ask("a", func(q *question) { q.Waiting = 0 })
	check("who has no more calls waits for nothing", m.ask("b").Others, 0)
	m.passes(time.Second, "a", "b")
	s := m.ask("b", wants, func(q *question) { q.Waiting = 2 })
	waits("a token with another call behind it", s, 0)
	check("comes with the word when the next is there", micros(s.Next), time.Second-late-ms)
	m.ask("b", func(q *question) { q.Waiting = 0 })
	m.passes(time.Second, "a", "b")
	check("one with nobody behind it comes without", m.ask("b", wants).Next, 0)
	check("who gives a token back has it again", m.ask("a", wants, func(q *question) { q.Returned = 1 }).Wait, 0)

	m.anew("away")
	m.spends()
	m.now += lease
	check("who was heard a lease ago is there", m.ask("a").Live, 2)
	check("and nothing is taken for it", micros(m.ask("a").Full), 10*time.Second-lease)
	m.now += time.Second
	check("half of what came after goes to who was not", micros(m.ask("a").Full), 10*time.Second-lease-time.Second/2)
	m.ask("c", func(q *question) { q.Heard = (m.now - ms).Microseconds() })
	full := m.ask("a").Full
	m.now += time.Second / 2
	m.ask("c")
	check("where as many as share are there nothing is kept for a third", micros(full-m.ask("a").Full), time.Second/2)
	m.ask("c", saying("bye", 0, 0))
	check("who says goodbye is gone", m.ask("a").Live, 1)
	check("who was never heard counts as cut off", m.ask("d").Live, 1)
	m.now += forget
	m.ask("a") // b was heard longer ago than that, and c and d are gone or were never there for long
	m.now += time.Second
	m.ask("a")
	m.now += time.Second
	before := m.ask("a", wants, func(q *question) { q.Returned = 0 }).Full
	m.now += time.Second / 2
	check("who is forgotten has no share", micros(before-m.ask("a").Full), time.Second/2)

	m.anew("server")
	m.server = "another"
	check("what another server wrote is an empty bucket", micros(m.ask("a").Full), 10*time.Second)
	m.passes(4*time.Second, "a")
	check("which keeps the shares of who may not have come back", micros(m.ask("a").Full), 8*time.Second)
	m.passes(4*time.Second, "a")
	check("for a while", micros(m.ask("a").Full), 5*time.Second)
	m.passes(time.Second, "a")
	check("and no longer", micros(m.ask("a").Full), 4*time.Second)
	m.now -= time.Second
	check("a clock that is put back a little changes nothing", micros(m.ask("a").Full), 4*time.Second)
	m.now -= ms
	check("and by more is another server", micros(m.ask("a").Full), 10*time.Second)

	m.anew("pause")
	s = m.ask("a", wants)
	check("a full bucket has been full", s.Emptied, -1)
	old := s.Generation
	s = m.ask("a", saying("throttled", old, 5*time.Second))
	check("a refusal begins a pause", s.State, "shut")
	check("and empties the bucket", micros(s.Full), 10*time.Second)
	check("now", s.Emptied, 0)
	m.now += ms
	check("which is remembered", micros(m.ask("a").Emptied), ms)
	check("one of before begins no other", m.ask("b", saying("throttled", old, time.Minute)).Generation, s.Generation)
	check("nor does it open", m.ask("b", saying("answered", old, 0)).State, "shut")
	check("a pause that is told again is the same", m.ask("b", saying("hold", 0, 5*time.Second)).Generation, s.Generation)
	waits("nothing leaves before its end", m.ask("b", wants), 5*time.Second-ms)
	waits("nor does who cannot know of it", m.ask("new", wants), 100*ms)
	m.ask("new", saying("bye", 0, 0))
	check("a longer one counts", micros(m.ask("b", saying("hold", 0, 6*time.Second)).Quiet), 6*time.Second)
	s = m.ask("a", saying("resume", old, 0))
	check("resuming another pause ends none", micros(s.Quiet), 6*time.Second)
	m.passes(6*time.Second, "a", "b")
	s = m.ask("a", wants, func(q *question) { q.Waiting = 5 })
	waits("after it one leaves", s, 0)
	check("as the probe", fmt.Sprintf("%s %v %d", s.State, s.Mine, s.Next), "probing true 0")
	s = m.ask("b", wants)
	waits("and no other", s, 100*ms)
	check("which is not the other's", s.Mine, false)
	check("whose word it is not", m.ask("b", saying("unsure", s.Generation, 0)).State, "probing")
	check("a resume does not end it", m.ask("b", saying("resume", s.Generation, 0)).State, "probing")
	check("where nobody knows the answer another may ask", m.ask("a", saying("unsure", s.Generation, 0)).State, "shut")
	waits("and does", m.ask("b", wants), 0)
	check("with a token that is given back", m.ask("b", func(q *question) { q.Returned = 1 }).State, "shut")
	waits("and asks again", m.ask("b", wants), 0)
	m.now += lease
	check("a prober is waited for", m.ask("a").State, "probing")
	m.now += ms
	check("until it is taken for dead", m.ask("a").State, "shut")
	s = m.ask("a", wants)
	waits("then another probes", s, 0)
	check("and opens", m.ask("a", saying("answered", s.Generation, 0)).State, "open")
	check("a pause that was forgotten is told", m.ask("a", saying("hold", 0, time.Millisecond)).State, "shut")
	m.passes(8*time.Second, "a", "b")
	check("a bucket that is not full has not been", micros(m.ask("a").Emptied), 8*time.Second)
	m.passes(3*time.Second, "a", "b")
	check("until it is", m.ask("a").Emptied, -1)
}
