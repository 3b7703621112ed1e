package statefile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockPoll is how often a waiting Lock looks whether the owner is gone: soon enough for a rolling update.
const lockPoll = 100 * time.Millisecond

// LockedError reports that another process uses the directory.
type LockedError struct {
	Dir     string
	PID     int    // of the owner, in its own name space of processes; 0: unknown
	Address string // where the owner listens; "": unknown
}

func (e *LockedError) Error() string {
	owner := "another process"
	if e.PID != 0 {
		owner = fmt.Sprintf("process %d", e.PID)
	}
	if e.Address != "" {
		owner += ", which listens on " + e.Address
	}
	return fmt.Sprintf("statefile: %s is in use by %s", e.Dir, owner)
}

// Lock is held by the one process that serves with a directory. The operating system ends it with the process, however that ends.
type Lock struct {
	file  *os.File
	owner owner
}

// owner is the content of the lock file, as JSON.
type owner struct {
	PID     int    `json:"pid"`
	Address string `json:"address,omitempty"`
}

// Lock takes the directory's exclusive lock (flock) and records this process and the address where it listens. While another
// process holds the lock it waits for up to wait, or until ctx is done. The error is a *LockedError when the lock is held, and
// another one when the directory cannot hold a lock file.
func (d *Dir) Lock(ctx context.Context, address string, wait time.Duration) (*Lock, error) {
	if err := d.create(); err != nil {
		return nil, err
	}
	file, err := d.openOrCreate("lock", os.O_RDWR)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		err := flock(file, syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			return nil, &os.PathError{Op: "lock", Path: file.Name(), Err: err}
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			defer file.Close()
			return nil, d.locked(file)
		}
	}
	l := &Lock{file, owner{PID: os.Getpid(), Address: address}}
	l.record()
	return l, nil
}

// locked returns the LockedError with the owner that the lock file names.
func (d *Dir) locked(file *os.File) error {
	var o owner
	content := make([]byte, RecordSize)
	n, _ := file.ReadAt(content, 0)
	json.Unmarshal(content[:n], &o) // while the owner writes it, it is unknown
	return &LockedError{Dir: d.path, PID: o.PID, Address: o.Address}
}

// SetAddress records where this process listens, once that is known.
func (l *Lock) SetAddress(address string) {
	l.owner.Address = address
	l.record()
}

// record writes the owner into the lock file, always with the same number of bytes, which need no space once they are there.
// If that fails the lock is held all the same.
func (l *Lock) record() {
	content, _ := json.Marshal(l.owner) // two plain fields
	l.write(content)
}

func (l *Lock) write(content []byte) {
	l.file.WriteAt(fmt.Appendf(nil, "%-*s\n", RecordSize-1, content), 0)
}

// Unlock gives the directory up. The file stays: a process that waits has it open.
func (l *Lock) Unlock() error {
	l.write(nil)
	return l.file.Close()
}

// Lock keeps every other process, and every other user of the file in this one, out until unlock. It waits as long as it takes.
func (f *File) Lock() (unlock func(), err error) {
	if err := f.dir.create(); err != nil {
		return nil, err
	}
	file, err := f.dir.openOrCreate(f.name+".lock", os.O_RDWR)
	if err != nil {
		return nil, err
	}
	if err := flock(file, syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, &os.PathError{Op: "lock", Path: file.Name(), Err: err}
	}
	return func() { file.Close() }, nil
}

// flock repeats the call when a signal interrupts it.
func flock(file *os.File, how int) error {
	for {
		if err := syscall.Flock(int(file.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
