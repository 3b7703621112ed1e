// Package budget counts the calls to Roam that tools with a limit (calls_per_day) make in a day.
//
// A day is a day of UTC, and every attempt counts as a call. A queued call reserves a place in the count, so no call waits in the queue for
// a permit that it may not use. A call is in the file before it is sent, so a restart forgets none.
package budget

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"sync"
	"time"

	"roamproxy/limiter/statefile"
)

// UsedUpError reports that a tool has made as many calls as it may make today. Nothing was sent.
type UsedUpError struct {
	RetryAfter time.Duration // until midnight UTC
}

func (e *UsedUpError) Error() string {
	return "budget: this tool has used up its calls_per_day; the count starts again at midnight UTC"
}

// Counts holds the calls of today by tool. It may be used by many goroutines.
type Counts struct {
	file *statefile.File

	mu         sync.Mutex     // guards the following; not held while the file is written
	shared     SharedCounts   // nil: this process alone makes calls of these tools
	day        string         // of the counts
	used       map[string]int // by tool; nil: unknown, see unread
	reserved   map[string]int // queued calls, by tool
	unreported map[string]int // part of used that was not reported to the other replicas yet
	unread     error          // why the file cannot be read; nil: it was read
	err        error          // of the last write

	writing sync.Mutex // taken before mu, so that the newest counts are written last
}

// fileVersion is the version of the file's format. A file without a version has the same format.
const fileVersion = 1

// content is the content of the file.
type content struct {
	Version int            `json:"version"`
	Day     string         `json:"day"` // as 2006-01-02
	Used    map[string]int `json:"used"`
}

// Open reads the calls of today from a file in dir. If the file is unreadable, Open returns an error with the Counts, and every tool with a
// limit counts as used up, because the number of its calls is unknown.
func Open(dir *statefile.Dir) (*Counts, error) {
	c := &Counts{
		file: dir.File("budgets.json", fileVersion), day: dayOf(time.Now()),
		reserved: make(map[string]int), unreported: make(map[string]int),
	}
	c.read()
	return c, c.unread
}

// read reads the counts of today from the file. The lock is held, or no other goroutine has c yet.
func (c *Counts) read() {
	data, err := c.file.Read()
	if errors.Is(err, fs.ErrNotExist) {
		c.used, c.unread = make(map[string]int), nil
		return
	}
	var known content
	if err == nil {
		err = json.Unmarshal(data, &known)
	}
	if err == nil && known.Day > c.day {
		err = fmt.Errorf("it is of %q, which is in the future", known.Day)
	}
	if err != nil {
		c.used = nil
		c.unread = fmt.Errorf("budget: the calls of today are unknown, so calls_per_day counts as used up until midnight UTC; "+
			"to begin anew, remove %s: %w", c.file.Path(), err)
		return
	}
	c.used, c.unread = make(map[string]int), nil
	if known.Day == c.day {
		maps.Copy(c.used, known.Used)
	}
}

func dayOf(now time.Time) string { return now.UTC().Format(time.DateOnly) }

// untilMidnight returns the time until the day of now ends.
func untilMidnight(now time.Time) time.Duration {
	return now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)
}

// Reserve reserves one call of today for a tool that may make limit calls a day. Release gives it back, Spend uses it. The error is a
// *UsedUpError.
func (c *Counts) Reserve(tool string, limit int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.check(tool, limit); err != nil {
		return err
	}
	c.reserved[tool]++
	return nil
}

// Release gives back a call that was reserved and not sent.
func (c *Counts) Release(tool string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(tool)
}

// release is Release with the lock held.
func (c *Counts) release(tool string) {
	if c.reserved[tool]--; c.reserved[tool] == 0 {
		delete(c.reserved, tool)
	}
}

// Spend counts a call before it is sent. reserved says that Reserve was called for it; a repeated attempt has no reservation, and may find
// the budget used up. The error is a *UsedUpError.
func (c *Counts) Spend(tool string, limit int, reserved bool) error {
	c.mu.Lock()
	if reserved {
		c.release(tool)
	}
	err, shared := c.check(tool, limit), c.shared
	if err == nil && shared == nil {
		c.used[tool]++
	}
	c.mu.Unlock()
	if err == nil && shared != nil {
		err = c.spendShared(shared, tool, limit)
	}
	if err == nil {
		c.write()
	}
	return err
}

// check returns an error if the tool has no call left today. The lock is held.
func (c *Counts) check(tool string, limit int) error {
	now := time.Now()
	c.beginDay(now)
	if c.used == nil || c.used[tool]+c.reserved[tool] >= limit {
		return &UsedUpError{RetryAfter: untilMidnight(now)}
	}
	return nil
}

// beginDay resets the counts if now is on a later day. The lock is held.
func (c *Counts) beginDay(now time.Time) {
	if day := dayOf(now); day > c.day { // a clock that is set back gives no calls back
		c.day, c.used, c.unreported, c.unread = day, make(map[string]int), make(map[string]int), nil
	}
}

// write replaces the file. If that fails, calls are sent all the same, and Err reports it.
func (c *Counts) write() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	data, err := json.Marshal(content{fileVersion, c.day, c.used})
	c.mu.Unlock()
	if err == nil {
		err = c.file.Replace(data)
	}
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
}

// Err returns why the file cannot be read or written, or nil. It tries again first, so readiness recovers without a call.
func (c *Counts) Err() error {
	c.mu.Lock()
	if c.beginDay(time.Now()); c.unread != nil {
		defer c.mu.Unlock()
		c.read()
		return c.unread
	}
	err := c.err
	c.mu.Unlock()
	if err == nil {
		return nil
	}
	c.write()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return fmt.Errorf("budget: a restart forgets the calls of today: %w", c.err)
	}
	return nil
}

// Used returns how many calls each tool with a limit has made today.
func (c *Counts) Used() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if dayOf(time.Now()) > c.day {
		return map[string]int{}
	}
	return maps.Clone(c.used)
}
