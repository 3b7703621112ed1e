package repeat

import (
	"container/list"
	"time"
)

// Bounds of the records in memory. At one call a second ten thousand writes take almost three hours.
const (
	maxRecords = 10_000
	maxBytes   = 16 << 20
	sweepEvery = time.Minute // between removals of what has expired
)

// store keeps records until they expire. When it is full, the tool with the largest share loses its oldest record, so that no tool can push
// out the records of another. It is not safe for concurrent use.
type store struct {
	entries map[id]*list.Element // of *entry, in the list of its tool
	tools   map[string]*share
	bytes   int
	swept   time.Time
}

// share is the part of the store that one tool takes.
type share struct {
	oldest *list.List // first: the oldest
	bytes  int
}

type entry struct {
	id      id
	tool    string
	number  uint64 // of the Pending that the record comes from
	record  *Record
	expires time.Time
}

func newStore() *store {
	return &store{entries: make(map[id]*list.Element), tools: make(map[string]*share)}
}

// get returns the record, or nil if there is none or it has expired.
func (s *store) get(key id, now time.Time) *Record {
	e := s.entries[key]
	if e == nil || e.Value.(*entry).isExpired(now) {
		return nil
	}
	return e.Value.(*entry).record
}

// isExpired compares with and without the monotonic clock, because that stops while the machine sleeps.
func (e *entry) isExpired(now time.Time) bool {
	return !now.Before(e.expires) || !now.Round(0).Before(e.expires.Round(0))
}

// put keeps a record, unless there is one of a newer Pending.
func (s *store) put(key id, tool string, number uint64, r *Record, expires time.Time) {
	if e := s.entries[key]; e != nil {
		if e.Value.(*entry).number > number {
			return
		}
		s.remove(e)
	}
	s.sweep(time.Now())
	of := s.tools[tool]
	if of == nil {
		of = &share{oldest: list.New()}
		s.tools[tool] = of
	}
	s.entries[key] = of.oldest.PushBack(&entry{key, tool, number, r, expires})
	of.bytes += r.size()
	s.bytes += r.size()
	for s.bytes > maxBytes || len(s.entries) > maxRecords {
		s.remove(s.largest().oldest.Front())
	}
}

// removeBefore removes the record if it comes from a Pending with a lower number.
func (s *store) removeBefore(key id, number uint64) {
	if e := s.entries[key]; e != nil && e.Value.(*entry).number < number {
		s.remove(e)
	}
}

func (s *store) remove(e *list.Element) {
	gone := e.Value.(*entry)
	of := s.tools[gone.tool]
	of.oldest.Remove(e)
	of.bytes -= gone.record.size()
	s.bytes -= gone.record.size()
	delete(s.entries, gone.id)
	if of.oldest.Len() == 0 {
		delete(s.tools, gone.tool)
	}
}

// largest returns the share with the most bytes.
func (s *store) largest() *share {
	var most *share
	for _, of := range s.tools {
		if most == nil || of.bytes > most.bytes {
			most = of
		}
	}
	return most
}

func (s *store) sweep(now time.Time) {
	if now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	for _, e := range s.entries {
		if e.Value.(*entry).isExpired(now) {
			s.remove(e)
		}
	}
}
