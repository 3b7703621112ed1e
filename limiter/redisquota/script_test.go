package redisquota

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/limiter"
	"roamproxy/proxy/roamtest/redistest"
)

// scripted is the script on a clock and a server of the test's own: a quota of two replicas with one call a second and ten at once.
type scripted struct {
	*testing.T
	client  rueidis.Client
	script  *rueidis.Lua
	key     string
	now     time.Duration // since some start
	server  string
	replied map[string]int64 // when each replica got its last reply
}

// newScripted returns one with a full bucket, whose two replicas have been there long enough.
func newScripted(t *testing.T) *scripted {
	t.Helper()
	client, err := dialer(redistest.NewRedis(t))()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	text := strings.NewReplacer(
		"redis.call('TIME')", "{ARGV[2], ARGV[3]}",
		"string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')", "ARGV[4]",
	).Replace(quotaScript)
	s := &scripted{t, client, rueidis.NewLuaScript(text), "quota", 1000 * time.Second, "one", map[string]int64{}}
	s.passes(20*time.Second, "a", "b")
	return s
}

const lease = time.Second

// passes lets time pass in which these replicas renew their leases.
func (s *scripted) passes(d time.Duration, replicas ...string) {
	for end := s.now + d; s.now < end; {
		for _, r := range replicas {
			s.ask(r)
		}
		s.now = min(s.now+lease/2, end)
	}
	for _, r := range replicas {
		s.ask(r)
	}
}

func (s *scripted) ask(replica string, change ...func(*request)) (r reply) {
	s.Helper()
	q := request{
		Replica: replica, Check: true, LastReply: s.replied[replica], Calls: -1, Replicas: 2, Every: 1e6, Burst: 10e6,
		Lease: lease.Microseconds(), Settling: settling.Microseconds(), Late: late.Microseconds(), Forget: forget.Microseconds(),
		MaxPause: (5 * time.Minute).Microseconds(), Events: []event{},
	}
	for _, c := range change {
		c(&q)
	}
	text, _ := json.Marshal(q)
	us := s.now.Microseconds()
	args := []string{string(text), fmt.Sprint(us / 1e6), fmt.Sprint(us % 1e6), s.server}
	if err := s.script.Exec(s.Context(), s.client, []string{s.key}, args).DecodeJSON(&r); err != nil {
		s.Fatal(err)
	}
	if err := r.check(); err != nil {
		s.Fatal(err)
	}
	s.replied[replica] = r.Now
	return r
}

func (s *scripted) check(what string, got, want any) {
	s.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (s *scripted) waits(what string, r reply, want time.Duration) {
	s.Helper()
	s.check(what, micros(r.Wait), want)
}

// wants is for one of so many calls, of tools of so much weight.
func wants(calls, weight int) func(*request) {
	return func(q *request) { q.Calls, q.Weight = calls, weight }
}

func saying(kind limiter.EventKind, generation uint64, remaining time.Duration) func(*request) {
	return func(q *request) {
		q.Events = append(q.Events, event{Kind: kind, Generation: generation, Remaining: remaining.Microseconds()})
	}
}

// spends takes all tokens of the bucket, by both replicas.
func (s *scripted) spends() {
	s.Helper()
	for i := range 10 {
		if r := s.ask([]string{"a", "b"}[i%2], wants(1, 1)); r.Wait != 0 {
			s.Fatalf("token %d of ten: wait %v", i, micros(r.Wait))
		}
	}
}

// Replicas get tokens in the order in which they asked.
func TestScriptGivesTokensInOrder(t *testing.T) {
	s := newScripted(t)
	one := wants(1, 1)
	const ms = time.Millisecond
	s.spends()
	s.waits("the first to ask has the next token", s.ask("a", one), time.Second)
	s.waits("the second has the one after", s.ask("b", one), 2*time.Second)
	s.waits("asking again keeps the place", s.ask("a", one), time.Second)
	s.check("one tool waits elsewhere", s.ask("a").Others, 1)
	s.passes(time.Second+late, "a", "b")
	s.waits("a replica that is late by no more than that keeps its token", s.ask("b", one), time.Second-late)
	s.now += ms
	s.check("one that is later has no queued calls any more", s.ask("b").Others, 0)
	s.waits("and the next has the token", s.ask("b", one), 0)
	s.ask("a", func(q *request) { q.Calls = 0 })
	s.check("one without calls does not count", s.ask("b").Others, 0)
	s.passes(time.Second, "a", "b")
	r := s.ask("b", wants(2, 1))
	s.waits("a token with another call behind it", r, 0)
	s.check("comes with the time of the next", r.Next > 0 && micros(r.Next) <= time.Second, true)
	s.check("one with no call behind it comes without", s.ask("a", one, func(q *request) { q.Returned = 1 }).Next, 0)
}

// The weights of the tools that wait decide how replicas share.
func TestScriptSharesByWeight(t *testing.T) {
	s := newScripted(t)
	s.spends()
	got := map[string]int{}
	for range 120 {
		s.now += lease / 2
		for _, replica := range []string{"a", "b"} {
			for s.ask(replica, wants(20, map[string]int{"a": 5, "b": 1}[replica])).Wait == 0 {
				got[replica]++
			}
		}
	}
	s.check("five tools at one replica have five sixths", got, map[string]int{"a": 50, "b": 10})
}

// Batch tools leave the reserve to the others.
func TestScriptKeepsTheReserve(t *testing.T) {
	s := newScripted(t)
	one := wants(1, 1)
	s.spends()
	batch := func(q *request) { q.Calls, q.Weight, q.Reserve = 10, 1, 3e6 }
	s.waits("a replica of batch tools waits for the reserve too", s.ask("a", batch), 4*time.Second)
	s.waits("which is for the other", s.ask("b", one), time.Second)
	s.passes(4*time.Second, "a", "b")
	s.waits("then it has a token", s.ask("a", batch), 0)
	s.check("held back is held back", s.ask("b", one, func(q *request) { q.Margin = 5e6 }).Wait > 0, true)
}

// The share of a replica that is cut off is taken out of the bucket, until it leaves or is forgotten.
func TestScriptKeepsTheShareOfACutOffReplica(t *testing.T) {
	s := newScripted(t)
	const ms = time.Millisecond
	s.spends()
	s.now += lease
	s.check("a replica with a valid lease is there", s.ask("a").Live, 2)
	s.check("and nothing is taken for it", micros(s.ask("a").Full), 10*time.Second-lease)
	s.now += time.Second
	s.check("half of what came after goes to the one without", micros(s.ask("a").Full), 10*time.Second-lease-time.Second/2)
	s.ask("c", func(q *request) { q.LastReply = (s.now - ms).Microseconds() })
	full := s.ask("a").Full
	s.now += time.Second / 2
	s.ask("c")
	s.check("where as many as share are there nothing is kept for a third", micros(full-s.ask("a").Full), time.Second/2)
	s.ask("c", func(q *request) { q.Bye = true })
	s.check("one that leaves in good order is gone", s.ask("a").Live, 1)
	s.check("one that never got a reply counts as cut off", s.ask("d").Live, 1)
	s.now += forget
	s.ask("a")
	s.now += time.Second
	s.ask("a")
	before := s.ask("a").Full
	s.now += time.Second / 2
	s.check("one that was dropped has no share", micros(before-s.ask("a").Full), min(micros(before), time.Second/2))
}

// What another server wrote is an empty bucket.
func TestScriptDistrustsAnotherServer(t *testing.T) {
	s := newScripted(t)
	const ms = time.Millisecond
	s.server = "another"
	s.check("what another server wrote is an empty bucket", micros(s.ask("a").Full), 10*time.Second)
	s.passes(4*time.Second, "a")
	s.check("which keeps the shares of those that may not have come back", micros(s.ask("a").Full), 8*time.Second)
	s.passes(4*time.Second, "a")
	s.check("for a while, and no longer", micros(s.ask("a").Full), 5*time.Second)
	s.now -= time.Second
	s.check("a clock that is put back a little changes nothing", micros(s.ask("a").Full), 5*time.Second)
	s.now -= ms
	s.check("and by more is another server", micros(s.ask("a").Full), 10*time.Second)
}

// A pause holds for all replicas, one of them probes, and its answer counts for all.
func TestScriptSharesAPause(t *testing.T) {
	s := newScripted(t)
	one := wants(1, 1)
	const ms = time.Millisecond
	old := s.ask("a", one).Generation
	r := s.ask("a", saying(limiter.EventThrottled, old, 5*time.Second))
	s.check("a refusal begins a pause", r.State, limiter.PauseShut)
	s.check("and empties the bucket", micros(r.Full), 10*time.Second)
	s.now += ms
	s.check("one from before begins no other", s.ask("b", saying(limiter.EventThrottled, old, time.Minute)).Generation, r.Generation)
	s.check("nor does an answer end it", s.ask("b", saying(limiter.EventAnswered, old, 0)).State, limiter.PauseShut)
	s.check("a pause that is held again is the same", s.ask("b", saying(limiter.EventHeld, 0, 5*time.Second)).Generation, r.Generation)
	s.waits("nothing leaves before its end", s.ask("b", one), 5*time.Second-ms)
	s.check("a longer one counts", micros(s.ask("b", saying(limiter.EventHeld, 0, 6*time.Second)).Remaining), 6*time.Second)
	s.check("resuming another pause ends none", micros(s.ask("a", saying(limiter.EventResumed, old, 0)).Remaining), 6*time.Second)
	s.passes(6*time.Second, "a", "b")
	r = s.ask("a", wants(5, 1))
	s.waits("after it one leaves", r, 0)
	s.check("as the probe", fmt.Sprintf("%s %v %d", r.State, r.Mine, r.Next), "probing true 0")
	s.waits("and no other", s.ask("b", one), 100*ms)
	s.check("whose call it is not", s.ask("b", saying(limiter.EventUnsure, r.Generation, 0)).State, limiter.PauseProbing)
	r = s.ask("a", saying(limiter.EventUnsure, r.Generation, 0))
	s.check("where the prober does not know the answer another may ask", r.State, limiter.PauseShut)
	s.waits("and does", s.ask("b", one), 0)
	s.check("with a token that is given back", s.ask("b", func(q *request) { q.Returned = 1 }).State, limiter.PauseShut)
	s.waits("and asks again", s.ask("b", one), 0)
	s.now += lease
	s.check("a prober is waited for", s.ask("a").State, limiter.PauseProbing)
	s.now += ms
	s.check("until it is taken for dead", s.ask("a").State, limiter.PauseShut)
	r = s.ask("a", one)
	s.waits("then another probes", r, 0)
	s.check("and ends the pause", s.ask("a", saying(limiter.EventAnswered, r.Generation, 0)).State, limiter.PauseOpen)
	s.check("a pause that was forgotten is held", s.ask("a", saying(limiter.EventHeld, 0, ms)).State, limiter.PauseShut)
	s.check("none is longer than max_pause", micros(s.ask("a", saying(limiter.EventHeld, 0, 1000*24*time.Hour)).Remaining), 5*time.Minute)
}

// The script uses the words of the program, and no others.
func TestTheScriptUsesTheSameWords(t *testing.T) {
	for _, word := range []string{
		string(limiter.PauseOpen), string(limiter.PauseShut), string(limiter.PauseProbing),
		string(limiter.EventThrottled), string(limiter.EventAnswered), string(limiter.EventUnsure), string(limiter.EventResumed),
		string(limiter.EventHeld), string(limiter.EventLearned),
	} {
		if !strings.Contains(quotaScript, "'"+word+"'") {
			t.Errorf("the script does not know %q", word)
		}
	}
}
