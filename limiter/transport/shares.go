package transport

import "sync"

// Shares divides a resource of a fixed size among tools: open responses, bytes of queued bodies, connections. It is safe for
// concurrent use.
//
// A tool may have all that is free. A tool that has less than half of the whole gets more even where nothing is free because
// another tool took more than half: what a tool has beyond its half does not count against the others. So no tool can take the
// resource from another, a lone tool can use all of it, and at most one and a half times its size is ever taken.
type Shares struct {
	mu    sync.Mutex // guards the following
	size  int64
	taken map[string]int64 // by tool; only those that have some
}

// NewShares makes the shares of a resource.
func NewShares(size int64) *Shares {
	return &Shares{size: size, taken: make(map[string]int64)}
}

// Resize changes the size. What is taken stays taken.
func (s *Shares) Resize(size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = size
}

// Take takes n for a tool and reports true, or takes nothing where that is more than the tool may have now.
func (s *Shares) Take(tool string, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.may(tool, n) {
		return false
	}
	s.taken[tool] += n
	return true
}

// Add takes n for a tool, also beyond its bound.
func (s *Shares) Add(tool string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[tool] += n
}

// May reports whether Take would succeed now.
func (s *Shares) May(tool string, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.may(tool, n)
}

func (s *Shares) may(tool string, n int64) bool {
	half := (s.size + 1) / 2
	all, counted := n, n
	for _, has := range s.taken {
		all += has
		counted += min(has, half)
	}
	return all <= s.size || s.taken[tool]+n <= half && counted <= s.size
}

// Release gives n of a tool back.
func (s *Shares) Release(tool string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[tool] -= n; s.taken[tool] == 0 {
		delete(s.taken, tool)
	}
}

// Taken returns what all tools have together.
func (s *Shares) Taken() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, has := range s.taken {
		n += has
	}
	return n
}
