package limiter

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// question is what a replica tells and asks with one run of the script. Times are in microseconds.
type question struct {
	Replica  string `json:"replica"`
	Heard    int64  `json:"heard"`    // when it was last heard, as Redis told it; 0: never
	Wants    bool   `json:"wants"`    // a token
	Waiting  int    `json:"waiting"`  // calls, the one that wants this token among them
	Returned int    `json:"returned"` // tokens that it gives back
	Probing  bool   `json:"probing"`  // it knows of being the one that probes, and has no word of Roam's yet

	Replicas int   `json:"replicas"` // that share the quota
	Every    int64 `json:"every"`    // a token takes
	Burst    int64 `json:"burst"`    // takes
	Lease    int64 `json:"lease"`
	Settling int64 `json:"settling"`
	Late     int64 `json:"late"`
	Forget   int64 `json:"forget"`

	Word       string `json:"word"`       // about the pause, or nothing
	Generation uint64 `json:"generation"` // of the pause that the word is about
	Quiet      int64  `json:"quiet"`

	Lesson  uint64 `json:"lesson"`  // the generation of the one that Every and Burst are by
	Teaches bool   `json:"teaches"` // another one
	Learned string `json:"learned"` // this
	Age     int64  `json:"age"`     // so long ago
}

// shared is what the script says to it. Its numbers are text, because they have more digits than Lua's JSON writes.
type shared struct {
	Wait int64 `json:"wait,string"` // for a token; 0: this is one
	Next int64 `json:"next,string"` // for the next after this one
	Now  int64 `json:"now,string"`
	Born int64 `json:"born,string"` // when Redis heard of the quota for the first time

	Full    int64 `json:"full,string"` // until the bucket is
	Every   int64 `json:"every,string"`
	Burst   int64 `json:"burst,string"`
	Emptied int64 `json:"emptied,string"` // since then it has not been full; below 0: it has

	Generation uint64 `json:"generation,string"` // of the pause
	State      string `json:"state"`
	Quiet      int64  `json:"quiet,string"`
	Mine       bool   `json:"mine"` // this replica's call is the probe

	Lesson  uint64 `json:"lesson,string"` // the generation of the latest
	Learned string `json:"learned"`
	Age     int64  `json:"age,string"`

	Others int `json:"others,string"` // replicas with calls that wait for a token
	Live   int `json:"live,string"`   // replicas that were heard lately
}

// word is what a replica tells about the pause. Generation is the one that it is about.
type word struct {
	kind       string
	generation uint64
	until      time.Time // of the quiet that Roam asked for
}

// ask runs the script once, with at most one word, and heeds its answer.
func (b *Redis) ask(ctx context.Context, wants bool) (shared, error) {
	b.asking <- struct{}{}
	defer func() { <-b.asking }()
	waiting := b.waiting()
	b.mu.Lock()
	var said word
	if len(b.words) > 0 {
		said, b.words = b.words[0], b.words[1:]
	}
	q := b.question(time.Now(), said)
	q.Wants, q.Waiting = wants, waiting
	b.returned = 0
	b.mu.Unlock()

	s, err := b.fleet.run(ctx, b.key, q)
	if err != nil {
		if said.kind != "" { // perhaps it was understood: what is about an old generation is not heeded
			b.mu.Lock()
			b.words = append([]word{said}, b.words...)
			b.mu.Unlock()
		}
		return s, err
	}

	now := time.Now()
	b.mu.Lock()
	back := !b.joined && said.kind != "bye"
	unknown := s.Born != b.last.Born // Redis forgot the quota, and perhaps a pause, or never heard of ours
	b.joined, b.heard, b.last = said.kind != "bye", now, s
	b.full = now.Add(micros(s.Full))
	if wants {
		b.next = now.Add(micros(s.Next))
	}
	b.probing = s.Mine && (b.probing || wants && s.Wait == 0)
	b.lesson.heed(s, q.Teaches, now)
	line := b.line
	b.mu.Unlock()
	if line == nil {
		return s, nil
	}
	if quiet := line.quiet(); quiet > 0 && unknown {
		b.tell(word{kind: "hold", until: now.Add(quiet)})
	}
	line.follow(b, s, back)
	return s, nil
}

// question is what there is to tell now. The lock is held.
func (b *Redis) question(now time.Time, said word) question {
	l := &b.lesson
	every, burst := spacing(l.learned.limits(now, b.paid))
	learned, age := l.learned.encode(now)
	return question{
		Replica: b.fleet.id, Heard: b.last.Now, Returned: b.returned, Probing: b.probing,
		Replicas: b.fleet.o.Replicas, Every: every, Burst: burst,
		Lease: lease.Microseconds(), Settling: settling.Microseconds(), Late: late.Microseconds(), Forget: forget.Microseconds(),
		Word: said.kind, Generation: said.generation, Quiet: max(said.until.Sub(now).Microseconds(), 0),
		Lesson: l.generation, Teaches: l.untold, Learned: learned, Age: age.Microseconds(),
	}
}

// waiting is how many calls do. Of a bucket without a line it is not known, so there may always be one.
func (b *Redis) waiting() int {
	b.mu.Lock()
	line := b.line
	b.mu.Unlock()
	if line == nil {
		return 1
	}
	return line.length()
}

// run asks the script.
func (f *Fleet) run(ctx context.Context, key string, q question) (s shared, err error) {
	f.mu.Lock()
	client := f.client
	f.mu.Unlock()
	if client == nil {
		return s, errNotYet
	}
	text, err := json.Marshal(q)
	if err != nil {
		return s, fmt.Errorf("limiter: redis: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.patience)
	defer cancel()
	if err := f.script.Exec(ctx, client, []string{key}, []string{string(text)}).DecodeJSON(&s); err != nil {
		return s, fmt.Errorf("limiter: redis: %w", err)
	}
	return s, nil
}
