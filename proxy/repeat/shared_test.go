package repeat

import (
	"testing"
	"testing/synctest"
	"time"
)

// While the others cannot be reached each replica goes on with what it remembers itself.
func TestWithoutTheOthers(t *testing.T) {
	for _, w := range []Write{message("hello"), keyed("k", "hello")} {
		store := newFake()
		here, other := newMemory(store), newMemory(store)
		store.setAway(true)
		begin(t, here, w).Unknown(504)
		if got := outcome(t, here, w, 0); got != unknown504 {
			t.Errorf("key %q, the same replica: %s, want %s", w.Key, got, unknown504)
		}
		if got := outcome(t, other, w, 0); got != "sent" {
			t.Errorf("key %q, another replica: %s, want it sent: nobody could tell it", w.Key, got)
		}
		store.setAway(false)
		if got := outcome(t, here, w, 0); got != unknown504 {
			t.Errorf("key %q, the same replica when all are back: %s, want %s", w.Key, got, unknown504)
		}
	}
}

// A write that another replica was seen to send is not sent because that replica cannot be asked any more.
func TestTheOthersDisappearWhileOneSends(t *testing.T) {
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

// A replica that dies cannot say what became of its write.
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
