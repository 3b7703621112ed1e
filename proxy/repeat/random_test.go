package repeat

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// model has two replicas, and the true state of every write. The decisions of the replicas are compared with it.
type model struct {
	broken   error // the first promise that did not hold
	replicas []*Memory
	sending  []*clientRequest
	waiting  []*clientRequest
	truth    map[string]*writeModel
}

// step is one event of a random schedule. Each kind of event uses some of the fields.
type step struct {
	kind, replica, which, how int
	body, key                 string
	resend                    bool
	wait                      time.Duration
}

// clientRequest is one request of a client.
type clientRequest struct {
	name    string
	write   Write
	cancel  context.CancelFunc
	decided chan struct{}
	pending *Pending
}

// writeModel is what is true of one write: of a key, or of a body without one.
type writeModel struct {
	resent   bool      // a client asked to send it again, so it may be executed twice
	sending  int       // requests in flight
	executed time.Time // until then no other may be sent: Roam may have executed it
}

func drawStep(t *rapid.T) step {
	return step{
		kind: rapid.IntRange(0, 9).Draw(t, "kind"), replica: rapid.IntRange(0, 1).Draw(t, "replica"),
		which: rapid.IntRange(0, 99).Draw(t, "which"),
		how:   rapid.IntRange(0, len(ends)-1).Draw(t, "how"), body: rapid.SampledFrom([]string{"hello", "bye"}).Draw(t, "body"),
		key: rapid.SampledFrom([]string{"", "", "a", "b"}).Draw(t, "key"), resend: rapid.IntRange(0, 9).Draw(t, "resend") == 0,
		wait: time.Duration(rapid.IntRange(0, 10_000).Draw(t, "wait in ms")) * time.Millisecond,
	}
}

// Writes are sent, fail at any stage, and are repeated, abandoned or expire, in any order and at any replica. Roam gets a write of unknown
// outcome, and a write with a key, once.
//
// Seen to fail with a record of unknown outcome left out, with answers that break off taken for whole, and with a claim that
// two replicas get.
func TestAWriteIsExecutedOnce(t *testing.T) {
	for range 20 { // of rapid's hundred
		rapid.Check(t, func(rt *rapid.T) {
			steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 40).Draw(rt, "steps")
			var broken error
			synctest.Test(t, func(*testing.T) { broken = run(steps) })
			if broken != nil {
				rt.Fatal(broken)
			}
		})
		if t.Failed() {
			return
		}
	}
}

func run(steps []step) error {
	store := newFake()
	w := &model{truth: make(map[string]*writeModel), replicas: []*Memory{newMemory(store), newMemory(store)}}
	for _, s := range steps {
		w.take(s)
		w.settle()
	}
	w.close()
	return w.broken
}

func (m *model) fail(format string, args ...any) {
	if m.broken == nil {
		m.broken = fmt.Errorf(format, args...)
	}
}

func (m *model) take(s step) {
	switch {
	case s.kind < 4:
		m.begin(s)
	case s.kind < 7 && len(m.sending) > 0:
		m.finish(s.which%len(m.sending), s.how)
	case s.kind == 7 && len(m.waiting) > 0:
		m.waiting[s.which%len(m.waiting)].cancel()
	case s.kind == 8:
		time.Sleep(s.wait)
	case s.kind == 9:
		time.Sleep([]time.Duration{remember - time.Second, remember, answerTTL}[s.which%3])
	}
}

func (m *model) begin(s step) {
	tr := &clientRequest{name: s.key, write: keyed(s.key, s.body), decided: make(chan struct{})}
	if s.key == "" {
		tr.name = "body " + s.body
	}
	tr.write.Resend = s.resend
	var ctx context.Context
	ctx, tr.cancel = context.WithCancel(context.Background())
	m.waiting = append(m.waiting, tr)
	go func() {
		defer close(tr.decided)
		tr.pending, _, _ = m.replicas[s.replica].Begin(ctx, tr.write, s.wait)
	}()
}

// settle records the requests that have been decided.
func (m *model) settle() {
	synctest.Wait()
	var still []*clientRequest
	for _, tr := range m.waiting {
		select {
		case <-tr.decided:
			m.decided(tr)
		default:
			still = append(still, tr)
		}
	}
	m.waiting = still
}

func (m *model) decided(tr *clientRequest) {
	tr.cancel()
	is := m.truth[tr.name]
	if is == nil {
		is = &writeModel{}
		m.truth[tr.name] = is
	}
	is.resent = is.resent || tr.write.Resend
	if tr.pending == nil {
		return
	}
	switch {
	case is.resent:
	case tr.write.Key != "" && is.sending > 0:
		m.fail("%s: it is sent twice at once", tr.name)
	case time.Now().Before(is.executed):
		m.fail("%s: it is sent again, and Roam may have executed it", tr.name)
	}
	is.sending++
	m.sending = append(m.sending, tr)
}

// ends are the ways in which a request ends. unknown: its outcome is unknown; known: under a key, its answer is known.
var ends = []struct {
	end            func(*Pending)
	unknown, known bool
}{
	{(*Pending).NotSent, false, false},
	{func(p *Pending) { p.Unknown(504) }, true, false},
	{(*Pending).Close, true, false},
	{func(p *Pending) { answered(p, 200, "ok", nil) }, false, true},
	{func(p *Pending) { answered(p, 400, "bad", nil) }, false, true},
	{func(p *Pending) { answered(p, 503, "later", nil) }, false, false},
	{func(p *Pending) { answered(p, 200, "o", errors.New("cut")) }, true, false},
	{func(p *Pending) { answered(p, 404, "n", errors.New("cut")) }, false, false},
	{func(p *Pending) { answered(p, 200, fmt.Sprint(make([]byte, maxAnswer)), nil) }, false, true},
}

func (m *model) finish(i, how int) {
	tr := m.sending[i]
	m.sending = append(m.sending[:i], m.sending[i+1:]...)
	is := m.truth[tr.name]
	is.sending--
	switch {
	case ends[how].unknown:
		is.executed = time.Now().Add(remember)
	case ends[how].known && tr.write.Key != "":
		is.executed = time.Now().Add(answerTTL)
	}
	ends[how].end(tr.pending)
}

// close ends all requests that are left, and demands that none waits for ever.
func (m *model) close() {
	for range 100 {
		for len(m.sending) > 0 {
			m.finish(0, 0)
		}
		time.Sleep(time.Second)
		m.settle()
	}
	if len(m.waiting)+len(m.sending) > 0 {
		m.fail("%d requests still wait", len(m.waiting))
	}
	for _, memory := range m.replicas {
		if len(memory.running) > 0 {
			m.fail("%d writes are in progress for ever", len(memory.running))
		}
	}
}
