package repeat

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// While the store is unreachable, each replica uses its own memory.
func TestAReplicaWithoutTheStoreRemembersAlone(t *testing.T) {
	for _, w := range []Write{message("hello"), keyed("k", "hello")} {
		t.Run(fmt.Sprintf("key %q", w.Key), func(t *testing.T) {
			store := newFake()
			here, other := newMemory(store), newMemory(store)
			store.setAway(true)
			begin(t, here, w).Unknown(504)
			if got := outcome(t, here, w, 0); got != unknown504 {
				t.Errorf("the same replica: %s, want %s", got, unknown504)
			}
			if got := outcome(t, other, w, 0); got != "sent" {
				t.Errorf("another replica: %s, want it sent, because the store is unreachable", got)
			}
			store.setAway(false)
			if got := outcome(t, here, w, 0); got != unknown504 {
				t.Errorf("the same replica once the store is reachable: %s, want %s", got, unknown504)
			}
		})
	}
}

// If the store is lost while another replica sends a write, its repeat is not sent.
func TestTheStoreIsLostDuringAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake()
		here, other := newMemory(store), newMemory(store)
		p := begin(t, other, keyed("k", "hello"))
		time.AfterFunc(time.Second, func() { store.setAway(true) })
		if got := outcome(t, here, keyed("k", "hello"), time.Minute); got != ErrInProgress.Error() {
			t.Errorf("got %s, want %v", got, ErrInProgress)
		}
		p.NotSent()
	})
}

// If a replica dies while it sends a write, the outcome of the write is unknown.
func TestAReplicaDiesWhileItSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake()
		here, other := newMemory(store), newMemory(store)
		p := begin(t, other, keyed("k", "hello"))
		p.stop() // its claim is renewed no longer
		start := time.Now()
		if got := outcome(t, here, keyed("k", "hello"), time.Minute); got != unknown502 || time.Since(start) > Lease+poll {
			t.Errorf("got %s after %v, want %s within the lease", got, time.Since(start), unknown502)
		}
		p.NotSent()
	})
}

// A write that takes longer than the lease stays claimed.
func TestALongWriteStaysClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFake()
		here, other := newMemory(store), newMemory(store)
		p := begin(t, other, keyed("k", "hello"))
		time.AfterFunc(10*Lease, func() { answered(p, 200, "ok", nil) })
		if got := outcome(t, here, keyed("k", "hello"), time.Hour); got != "replayed 200 ok" {
			t.Errorf("got %s, want the answer", got)
		}
	})
}
