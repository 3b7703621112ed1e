package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"sync"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/statefile"
)

// errBudget is the reason of a limiter.Refusal: the tool has made the calls that it may make in a day.
var errBudget = errors.New("this tool has used up its calls_per_day; the count begins anew at midnight UTC")

// Budgets counts the calls that tools with a bound made to Roam today, every attempt a call. A day is one of UTC. A call that
// still waits has its place in the count, so that nobody waits for a turn that may not be used; what was really sent is in a
// file before it leaves, so that a restart forgets nothing. It may be used by many goroutines, and by several Proxies in turn.
type Budgets struct {
	file *statefile.File

	mu      sync.Mutex // guards the following; not held while the file is written
	shared  Counter    // nil: nobody else makes calls of these tools
	day     string     // of the counts
	used    map[string]int
	waiting map[string]int // calls that have not left yet
	untold  map[string]int // of used, calls that the others do not know of yet
	unread  error          // why what was used today cannot be told; used is nil then
	err     error          // of the last writing

	writing sync.Mutex // taken before mu: what is written last is what was true last
}

// budgetsVersion is of the file as it is written; files without a version are of before there were any, and alike.
const budgetsVersion = 1

// counts is the content of the file.
type counts struct {
	Version int            `json:"version"`
	Day     string         `json:"day"` // as 2006-01-02
	Used    map[string]int `json:"used"`
}

// OpenBudgets reads what is known of today from its file in dir. Where it cannot be understood the error says so, and every
// bounded tool has used up its day: nobody knows how much of it is left.
func OpenBudgets(dir *statefile.Dir) (*Budgets, error) {
	b := &Budgets{file: dir.File("budgets.json", budgetsVersion), day: today(time.Now()), used: make(map[string]int), waiting: make(map[string]int), untold: make(map[string]int)}
	b.read()
	return b, b.unread
}

// read takes over what the file says of today. The lock is held, or nobody else knows b yet.
func (b *Budgets) read() {
	content, err := b.file.Read()
	if errors.Is(err, fs.ErrNotExist) {
		b.used, b.unread = make(map[string]int), nil
		return
	}
	var known counts
	if err == nil {
		err = json.Unmarshal(content, &known)
	}
	if err == nil && known.Day > b.day {
		err = fmt.Errorf("it is of %q, which is in the future", known.Day)
	}
	if err != nil {
		b.used = nil
		b.unread = fmt.Errorf("what tools spent of calls_per_day cannot be told, so it counts as used up until midnight UTC; to begin anew, remove %s: %w", b.file.Path(), err)
		return
	}
	b.used, b.unread = make(map[string]int), nil
	if known.Day == b.day {
		maps.Copy(b.used, known.Used)
	}
}

func today(now time.Time) string { return now.UTC().Format(time.DateOnly) }

// untilMidnight is how long the day of now still lasts.
func untilMidnight(now time.Time) time.Duration {
	return now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)
}

// reserve keeps one call of today's for the tool, which release gives back and spend uses. The error is a *limiter.Refusal.
func (b *Budgets) reserve(tool string, most int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.left(tool, most); err != nil {
		return err
	}
	b.waiting[tool]++
	return nil
}

func (b *Budgets) release(tool string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free(tool)
}

// free is release with the lock held.
func (b *Budgets) free(tool string) {
	if b.waiting[tool]--; b.waiting[tool] == 0 {
		delete(b.waiting, tool)
	}
}

// spend counts a call that is about to leave: the one that was reserved, or another attempt of it, for which there may be
// nothing left.
func (b *Budgets) spend(tool string, most int, reserved bool) error {
	b.mu.Lock()
	if reserved {
		b.free(tool)
	}
	err, shared := b.left(tool, most), b.shared
	if err == nil && shared == nil {
		b.used[tool]++
	}
	b.mu.Unlock()
	if err == nil && shared != nil {
		err = b.together(shared, tool, most)
	}
	if err == nil {
		b.keep()
	}
	return err
}

// left refuses when there is no call left today. The lock is held.
func (b *Budgets) left(tool string, most int) error {
	now := time.Now()
	b.begin(now)
	if b.used == nil || b.used[tool]+b.waiting[tool] >= most {
		return &limiter.Refusal{Reason: errBudget, RetryAfter: untilMidnight(now)}
	}
	return nil
}

// begin begins the day of now, if that is another. The lock is held.
func (b *Budgets) begin(now time.Time) {
	if day := today(now); day > b.day { // a clock that goes back earns nothing
		b.day, b.used, b.untold, b.unread = day, make(map[string]int), make(map[string]int), nil
	}
}

// keep replaces the file. A failure is told by Err: calls go on.
func (b *Budgets) keep() {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	content, err := json.Marshal(counts{budgetsVersion, b.day, b.used})
	b.mu.Unlock()
	if err == nil {
		err = b.file.Replace(content)
	}
	b.mu.Lock()
	b.err = err
	b.mu.Unlock()
}

// Err is why the counts cannot be read, or not be written, at present, nil when they can. Where they could not it is tried again, so
// that what somebody mended shows without a call.
func (b *Budgets) Err() error {
	b.mu.Lock()
	if b.begin(time.Now()); b.unread != nil {
		defer b.mu.Unlock()
		b.read()
		return b.unread
	}
	err := b.err
	b.mu.Unlock()
	if err == nil {
		return nil
	}
	b.keep()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return fmt.Errorf("a restart forgets what tools spent of calls_per_day: %w", b.err)
	}
	return nil
}

// Used is how many calls each bounded tool has made today.
func (b *Budgets) Used() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if today(time.Now()) > b.day {
		return map[string]int{}
	}
	return maps.Clone(b.used)
}

// reserving is the step before the line: a call for which its tool has no budget does not enter it.
type reserving struct {
	next    http.RoundTripper
	budgets *Budgets
}

func (s *reserving) RoundTrip(req *http.Request) (*http.Response, error) {
	if c := callOf(req.Context()); c != nil && c.perDay > 0 {
		return s.bounded(req, c)
	}
	return s.next.RoundTrip(req)
}

func (s *reserving) bounded(req *http.Request, c *upstreamCall) (*http.Response, error) {
	if err := s.budgets.reserve(c.Caller.Tool.Name, c.perDay); err != nil {
		closeBody(req)
		return nil, err
	}
	c.reserved = true
	res, err := s.next.RoundTrip(req)
	if c.reserved {
		s.budgets.release(c.Caller.Tool.Name) // it never left
	}
	return res, err
}

// spending is the step after the line: every attempt counts, before it leaves.
type spending struct {
	next    http.RoundTripper
	budgets *Budgets
}

func (s *spending) RoundTrip(req *http.Request) (*http.Response, error) {
	if c := callOf(req.Context()); c != nil && c.perDay > 0 {
		reserved := c.reserved
		c.reserved = false
		if err := s.budgets.spend(c.Caller.Tool.Name, c.perDay, reserved); err != nil {
			closeBody(req)
			return nil, err
		}
	}
	return s.next.RoundTrip(req)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
