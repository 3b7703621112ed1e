package limiter

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Keeper writes a queue's state down. A failure is the Keeper's to report: calls go on.
type Keeper interface {
	Keep(Kept)
}

// keep writes down what is true now.
func (q *Queue) keep() {
	if q.keeper == nil {
		return
	}
	q.keeping.Lock()
	defer q.keeping.Unlock()
	now := time.Now()
	q.mu.Lock()
	k := Kept{At: now.Round(0), Paused: q.pause.state != open}
	if k.Paused {
		k.Until = q.pause.until.Round(0)
	}
	bucket := q.bucket
	q.mu.Unlock()
	k.Level, k.Learned = bucket.Level(now), bucket.Learned()
	k.Learned.At = k.Learned.At.Round(0)
	q.keeper.Keep(k)
}

// StateFile is the Keeper on disk: one small file, written over in a single write of always the same size, so that kill -9 at any
// moment leaves the old or the new state. It is not synced: a machine that loses power is away for longer than a page cache, and
// what it may find afterwards, half of each, reads as damaged and means an empty bucket. A new file by rename each time would
// be the usual way; it takes 0.9 ms of a call on ext4, which then writes the file out at once, and this takes 5 µs (BenchmarkKeep).
type StateFile struct {
	path string

	writing sync.Mutex // guards the following; held while the disk is waited for
	file    *os.File   // open since the last write
	info    os.FileInfo
	last    Kept   // what was to be written last; At is zero before there was anything
	record  []byte // memory for it, as it is written

	mu  sync.Mutex // guards err
	err error
}

var _ Keeper = (*StateFile)(nil)

// OpenState names the file in which a quota's state is kept, in a directory that is made if need be, and tries whether it can
// be written. Where it cannot, Err says so at once and Restore finds an empty bucket.
func OpenState(dir, quota string) *StateFile {
	f := &StateFile{path: filepath.Join(dir, "quota-"+quota+".state")}
	f.try()
	return f
}

// try tells whether the state could be written when there is none to write yet: over what is there, with the same bytes, which
// wants no room of a full disk, or else as a new file.
func (f *StateFile) try() {
	f.failed(func() error {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return err
		}
		there, err := os.OpenFile(f.path, os.O_RDWR, 0)
		if err == nil {
			defer there.Close()
			record := make([]byte, recordSize)
			if n, _ := there.ReadAt(record, 0); n == recordSize {
				_, err = there.WriteAt(record, 0)
				return err
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		probe := f.path + ".new"
		defer os.Remove(probe)
		return os.WriteFile(probe, make([]byte, recordSize), 0o600)
	}())
}

// Restore sets the bucket's level to what the file says, refilled by the time since, also where the wall clock was put forward
// meanwhile, and tells how long Roam's pause still lasts, in the way of Options.Paused. Without a file this is a first start and
// the bucket is left full. With a file that is damaged, of another version or dated in the future, or in a directory that cannot be written, the bucket is emptied and the
// error says why, in a sentence for the log: nothing is wrong with going on. A file of another version is renamed, so that the
// version that wrote it can have it back.
func (f *StateFile) Restore(b *Local) (paused time.Duration, err error) {
	now := time.Now()
	if err := f.Err(); err != nil {
		b.Restore(now, 0)
		return 0, fmt.Errorf("limiter: starting with an empty bucket, because %w", err)
	}
	k, err := f.read(now)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case errors.Is(err, errVersion):
		b.Restore(now, 0)
		aside := f.path + ".other-version"
		f.failed(os.Rename(f.path, aside))
		return 0, fmt.Errorf("limiter: starting with an empty bucket, because the state in %s %w; it is now %s", f.path, err, aside)
	case err != nil:
		b.Restore(now, 0)
		return 0, fmt.Errorf("limiter: starting with an empty bucket, because the state in %s %w", f.path, err)
	}
	b.Learn(k.Learned)
	passed := k.passed(now)
	b.Restore(now, k.Level+b.Limits(k.At).Rate*passed.Seconds())
	if k.Paused {
		paused = k.Until.Sub(k.At) - passed
		if paused == 0 {
			paused = -1
		}
	}
	return paused, nil
}

func (f *StateFile) read(now time.Time) (k Kept, err error) {
	file, err := os.Open(f.path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return k, err
		}
		return k, fmt.Errorf("cannot be read: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, stateSize))
	if err != nil {
		return k, fmt.Errorf("cannot be read: %w", err)
	}
	k, err = decodeState(data)
	if err != nil {
		return k, err
	}
	if k.At.After(now.Round(0)) {
		return k, fmt.Errorf("is dated in the future (%s)", k.At.Format(time.RFC3339))
	}
	return k, nil
}

// Keep writes the file. When that fails the old state is emptied, so that a restart does not believe it.
func (f *StateFile) Keep(k Kept) {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.last = k
	f.last.Boot, f.last.Up = boot, up(time.Now())
	f.write()
}

func (f *StateFile) write() {
	err := f.open()
	if err == nil {
		f.record = appendState(f.record[:0], f.last)
		_, err = f.file.WriteAt(f.record, 0)
	}
	if err != nil {
		os.Truncate(f.path, 0)
	}
	f.failed(err)
}

// open sees to it that file is what a restart will find, should somebody have removed or replaced that.
func (f *StateFile) open() error {
	if there, err := os.Stat(f.path); err == nil && f.file != nil && os.SameFile(there, f.info) {
		return nil
	}
	if f.file != nil {
		f.file.Close()
	}
	var err error
	if f.file, err = os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE, 0o600); err != nil {
		f.file = nil
		return err
	}
	if f.info, err = f.file.Stat(); err == nil && f.info.Size() > recordSize {
		err = f.file.Truncate(recordSize) // it is not of ours
	}
	return err
}

func (f *StateFile) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = nil
	if err != nil {
		f.err = fmt.Errorf("the state cannot be written: %w", err)
	}
}

// Err is why the state cannot be written at present, nil when it can. Where it could not it is tried again, so that what somebody
// mended shows without a call: whoever sends calls only to those that are ready would never send one.
func (f *StateFile) Err() error {
	err := f.problem()
	if err == nil || !f.writing.TryLock() { // whoever writes at the moment will know better
		return err
	}
	defer f.writing.Unlock()
	if f.last.At.IsZero() {
		f.try()
	} else {
		f.write()
	}
	return f.problem()
}

func (f *StateFile) problem() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
