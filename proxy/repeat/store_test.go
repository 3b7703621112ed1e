package repeat

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func answerOf(size int) *Record {
	return &Record{State: Answered, Status: 200, Body: make([]byte, size)}
}

func number(n int) id { return id(digest("%d", n)) }

func TestTheStoreIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
	}{{"in count", 0}, {"in bytes", maxAnswer}} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore()
			for n := range 2 * maxRecords {
				s.put(number(n), "bot", uint64(n), answerOf(tt.size), time.Now().Add(time.Hour))
				if s.bytes > maxBytes || len(s.entries) > maxRecords {
					t.Fatalf("%d bytes in %d records, want them within the bounds", s.bytes, len(s.entries))
				}
			}
			if s.get(number(2*maxRecords-1), time.Now()) == nil {
				t.Error("the newest record is gone, want the oldest to go")
			}
			if s.get(number(0), time.Now()) != nil {
				t.Error("the oldest record is there, want it gone")
			}
		})
	}
}

func TestAToolLosesItsOwnRecords(t *testing.T) {
	s := newStore()
	quiet := number(-1)
	s.put(quiet, "quiet", 1, answerOf(100), time.Now().Add(time.Hour))
	for n := range 2 * maxRecords {
		s.put(number(n), "flood", uint64(n), answerOf(1000), time.Now().Add(time.Hour))
	}
	if s.get(quiet, time.Now()) == nil {
		t.Error("the record of a quiet tool is gone, want it kept beside a flood")
	}
}

func TestWhatExpiredIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		for n := range 100 {
			s.put(number(n), fmt.Sprint("tool-", n), 1, answerOf(100), time.Now().Add(time.Minute))
		}
		time.Sleep(2 * time.Minute)
		s.put(number(-1), "bot", 1, answerOf(100), time.Now().Add(time.Minute))
		if len(s.entries) != 1 || len(s.tools) != 1 || s.bytes != answerOf(100).size() {
			t.Errorf("%d records of %d tools, %d bytes, want the new one alone", len(s.entries), len(s.tools), s.bytes)
		}
	})
}

// While a machine is suspended, the wall clock advances and the monotonic clock does not. Expiry by either clock counts.
func TestWhatIsOldByEitherClockIsOld(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name    string
		expires time.Time
		want    bool
	}{
		{"by neither", now.Add(time.Minute), false},
		{"by both", now.Add(-time.Minute), true},
		{"by the wall clock", now.Add(-time.Hour).Round(0), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := (&entry{expires: tt.expires}).isExpired(now); got != tt.want {
				t.Errorf("expired = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAnOlderWriteDoesNotReplaceTheRecordOfANewer(t *testing.T) {
	s := newStore()
	s.put(number(1), "bot", 2, answerOf(1), time.Now().Add(time.Hour))
	s.put(number(1), "bot", 1, answerOf(2), time.Now().Add(time.Hour))
	if got := len(s.get(number(1), time.Now()).Body); got != 1 {
		t.Errorf("the record has %d bytes, want that of the newer write", got)
	}
}
