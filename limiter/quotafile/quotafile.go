// Package quotafile keeps the state of a quota on disk, so that a restart begins where the process before it ended: with its level, its
// pause and its adaptive limit.
package quotafile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/bootclock"
	"roamproxy/limiter/statefile"
)

// File is the limiter.Keeper on disk: a statefile.Record of each state, written in 10 µs (BenchmarkKeep). It may be used by many
// goroutines.
type File struct{ record *statefile.Record }

var _ limiter.Keeper = (*File)(nil)

// Open names the file in which a quota's state is kept, and tries whether it can be written. Where it cannot, Err says so at
// once and Restore finds an empty bucket.
func Open(dir *statefile.Dir, quota string) *File {
	return &File{dir.Record("quota-"+quota+".state", version)}
}

// version is that of the state as it is written. The first version, without what is learned, is read as well.
const version = 2

// written is what the file holds. Boot and Up check At on the same run of the machine, where the clock may have been set.
type written struct {
	limiter.Kept
	Boot string        `json:"boot,omitempty"`
	Up   time.Duration `json:"up,omitempty"`
}

// passed returns how long before now w was true. In doubt it returns less, since a bucket that is refilled too much causes a 429.
func (w written) passed(now time.Time) time.Duration {
	passed := now.Round(0).Sub(w.At)
	if boot := bootclock.Boot(); boot != "" && w.Boot == boot {
		passed = min(passed, max(bootclock.Uptime(now)-w.Up, 0))
	}
	return passed
}

func decode(body []byte) (w written, err error) {
	if err := json.Unmarshal(body, &w); err != nil || !w.Sound() {
		return w, errors.New("is damaged")
	}
	return w, nil
}

// Restore sets the bucket's level to what the file says, refilled by the time since, also where the wall clock was put forward
// meanwhile. Without a file this is a first start and the bucket is left full. With a file that is damaged, of a later version or
// dated in the future, or in a directory that cannot be written, the bucket is emptied and the error says why, in a sentence for
// the log; the queue can start all the same.
func (f *File) Restore(b *limiter.Local) (limiter.Restored, error) {
	now := time.Now()
	if err := f.Err(); err != nil {
		b.Restore(now, 0)
		return limiter.Restored{}, fmt.Errorf("limiter: starting with an empty bucket, because %w", err)
	}
	w, err := f.read(now)
	if errors.Is(err, fs.ErrNotExist) {
		return limiter.Restored{}, nil
	}
	if err != nil {
		b.Restore(now, 0)
		return limiter.Restored{}, fmt.Errorf("limiter: starting with an empty bucket, because the state in %s %w", f.record.Path(), err)
	}
	return w.Restore(b, now, w.passed(now)), nil
}

func (f *File) read(now time.Time) (w written, err error) {
	body, err := f.record.Read()
	if err != nil {
		return w, err
	}
	if w, err = decode(body); err != nil {
		return w, err
	}
	if w.At.After(now.Round(0)) {
		return w, fmt.Errorf("is dated in the future (%s)", w.At.Format(time.RFC3339))
	}
	return w, nil
}

// Keep writes the file. When that fails the old state is emptied, so that a restart does not believe it.
func (f *File) Keep(k limiter.Kept) {
	// A level that is no number has no JSON: the record is empty, and reads as damaged.
	body, _ := json.Marshal(written{k, bootclock.Boot(), bootclock.Uptime(time.Now())})
	f.record.Write(body)
}

// Err is why the state cannot be written at present, nil when it can. Where it could not it is tried again, so that a repair shows
// without a call: a balancer that sends calls only to those that are ready would never send one.
func (f *File) Err() error {
	if err := f.record.Err(); err != nil {
		return fmt.Errorf("the state cannot be written: %w", err)
	}
	return nil
}
