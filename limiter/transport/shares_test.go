package transport

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"roamproxy/limiter"
)

func TestSharesOfTwoTools(t *testing.T) {
	for _, tt := range []struct {
		name       string
		size       int64
		greedy     int64 // what the first tool gets that takes as much as it can
		other      int64 // what the second gets after it
		greedyMore int64 // what the first gets then, once it has given one back
	}{
		{"of a hundred", 100, 100, 50, 0},
		{"of four", 4, 4, 2, 0},
		{"of three", 3, 3, 1, 0},
		{"of two", 2, 2, 1, 0},
		{"of one, which cannot be divided", 1, 1, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := NewShares(tt.size)
			take := func(tool string) (n int64) {
				for s.Take(tool, 1) {
					n++
				}
				return n
			}
			if got := take("greedy"); got != tt.greedy {
				t.Errorf("a lone tool gets %d, want %d", got, tt.greedy)
			}
			if got := take("other"); got != tt.other {
				t.Errorf("another then gets %d, want %d", got, tt.other)
			}
			s.Release("greedy", 1)
			if got := take("greedy"); got != tt.greedyMore {
				t.Errorf("the first then gets %d, want %d", got, tt.greedyMore)
			}
		})
	}
}

// Whatever tools take and give back: one that has less than half, while no other two have the rest, gets one more.
func TestNoToolTakesTheSharesOfAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(2, 50).Draw(t, "size")
		s := NewShares(size)
		has := map[string]int64{}
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			tool := fmt.Sprint("tool ", rapid.IntRange(1, 3).Draw(t, "tool"))
			if n := has[tool]; n > 0 && rapid.Bool().Draw(t, "gives back") {
				s.Release(tool, 1)
				has[tool]--
				continue
			}
			before, half, others := has[tool], (size+1)/2, int64(0)
			for name, n := range has {
				if name != tool {
					others += min(n, half)
				}
			}
			took := s.Take(tool, 1)
			if took {
				has[tool]++
			}
			if !took && before < half && others+before < size {
				t.Fatalf("a tool that has %d of %d, where the others have %v, gets none", before, size, has)
			}
			if all := s.Taken(); all > size+size/2 {
				t.Fatalf("%d of %d are taken", all, size)
			}
		}
	})
}

// Seen to fail with one bound for all tools: a write of the other tool was refused while the queue was empty.
func TestOneToolDoesNotTakeAllBytes(t *testing.T) {
	const kib = 1 << 10
	store := NewBodies(1<<20, t.TempDir())
	hold := func(tool string, size int) error {
		_, err := store.Hold(limiter.Tool{Name: tool}, io.NopCloser(strings.NewReader(strings.Repeat("x", size))))
		return err
	}
	for hold("greedy", 100*kib) == nil {
	}
	for _, tt := range []struct {
		name, tool string
		size       int
		ok         bool
	}{
		{"a small body of the same tool", "greedy", 64 * kib, true},
		{"a large one of the same tool", "greedy", 65 * kib, false},
		{"a small body of another", "other", 300, true},
		{"a large one of another", "other", 400 * kib, true},
		{"one that is more than half of all", "other", 600 * kib, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := hold(tt.tool, tt.size); (err == nil) != tt.ok || err != nil && !errors.Is(err, limiter.ErrQueueFull) {
				t.Errorf("%v, want it to be accepted = %v", err, tt.ok)
			}
		})
	}
}

// A program that uses several names has one part of what is bounded. It is shown under its names all the same.
//
// Seen to fail with a part for each name, and with bodies of writes that were counted by name.
func TestNamesOfOneFlowHaveOnePart(t *testing.T) {
	open := NewOpenResponses(4)
	other := limiter.Tool{Name: "other"}
	for i := range 6 {
		tool := limiter.Tool{Name: fmt.Sprint("name-", i), Flow: "program"}
		if err := open.send(tool); (err == nil) != (i < 4) {
			t.Errorf("open response %d of the program: %v, want 4 and no more", i+1, err)
		}
	}
	for i := range 3 {
		if err := open.send(other); (err == nil) != (i < 2) {
			t.Errorf("open response %d of another program: %v, want 2, which is half, and no more", i+1, err)
		}
	}
	if got := open.Calls(); got["name-0"] != 1 || got["other"] != 2 || got["program"] != 0 {
		t.Errorf("shown are %v, want each under its name", got)
	}
	store := NewBodies(1<<20, t.TempDir())
	hold := func(tool limiter.Tool, size int) error {
		_, err := store.Hold(tool, io.NopCloser(strings.NewReader(strings.Repeat("x", size))))
		return err
	}
	for i := 0; hold(limiter.Tool{Name: fmt.Sprint("name-", i), Flow: "program"}, 100<<10) == nil; i++ {
	}
	if err := hold(other, 400<<10); err != nil {
		t.Errorf("while the program holds all bytes under many names, another may hold none: %v", err)
	}
	if got := other.FlowName(); got != "other" {
		t.Errorf("a tool without a flow is %q where resources are shared, want its name", got)
	}
}
