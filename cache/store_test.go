package cache

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// testStore holds for every Store.
func testStore(t *testing.T, s Store, max int64) {
	entry := func(n int) *Entry { return &Entry{Header: http.Header{"X": {"y"}}, Body: make([]byte, n)} }
	if s.Get("none") != nil {
		t.Error("an empty store finds something")
	}
	for i := range 200 {
		k := Key(fmt.Sprint("k", i%20))
		e := entry(100 + i)
		if s.Set(k, e) && (s.Get(k) == nil || len(s.Get(k).Body) != 100+i) {
			t.Fatalf("set %d was taken and is not found", i)
		}
	}
	if s.Set("large", entry(int(max))) || s.Get("large") != nil {
		t.Error("an entry larger than the store was taken")
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 2000 {
				k := Key(fmt.Sprint(g, i%300))
				s.Set(k, entry(1000))
				s.Get(k)
			}
		})
	}
	all.Wait()
	if bytes, entries := s.Size(); bytes <= 0 || bytes > max || entries <= 0 || int64(entries) > max/1000 {
		t.Errorf("%d bytes in %d entries, want at most %d", bytes, entries, max)
	}
}

func TestMemory(t *testing.T) {
	const max = 256 << 10
	m, err := NewMemory(max)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	testStore(t, m, max)
}
