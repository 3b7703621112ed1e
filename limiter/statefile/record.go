package statefile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

const (
	// recordFormat and a version are the first word of a record. A check sum and the body follow.
	recordFormat = "roamproxy-state-"
	// RecordSize is the size of every record: the body is filled up with spaces.
	RecordSize = 512
	// MaxBody is what a record has room for, with a version of two digits.
	MaxBody = RecordSize - len(recordFormat) - len("99 01234567 \n")
)

// errDamaged reports that a record is not whole, or not one of ours.
var errDamaged = errors.New("is damaged")

// Record is a small file that is overwritten in a single write of always the same size. kill -9 at any moment leaves the old or
// the new record, and a full disk does not matter once the file exists. It is not synced: a machine that loses power is away for
// longer than a page cache, and half of each record reads as damaged. It may be used by many goroutines.
type Record struct {
	dir     *Dir
	name    string
	version int

	writing sync.Mutex // guards the following; held while the disk is waited for
	file    *os.File   // open since the last write
	info    os.FileInfo
	last    []byte // the record written last, or that should have been; nil: none yet

	mu  sync.Mutex // guards err; no lock is taken under it
	err error
}

// Record returns the record in the file of that name, of which this program knows the versions up to version.
// It tries at once whether the record can be written; Err reports it.
func (d *Dir) Record(name string, version int) *Record {
	r := &Record{dir: d, name: name, version: version}
	r.failed(r.try())
	return r
}

// Path returns where the file is.
func (r *Record) Path() string { return filepath.Join(r.dir.path, r.name) }

// try reports whether a record could be written when there is none to write yet: over what is there, with the same bytes, which
// needs no space, or else as a new file.
func (r *Record) try() error {
	if err := r.dir.create(); err != nil {
		return err
	}
	file, err := r.dir.open(r.name, os.O_RDWR)
	if err == nil {
		defer file.Close()
		record := make([]byte, RecordSize)
		if n, _ := file.ReadAt(record, 0); n == RecordSize {
			_, err = file.WriteAt(record, 0)
		}
		return err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	draft, err := r.dir.File(r.name, r.version).Reserve(RecordSize)
	if err != nil {
		return err
	}
	draft.Discard()
	return nil
}

// Read returns the body. The error is fs.ErrNotExist, ErrNewer, or says that the record is damaged or cannot be read.
func (r *Record) Read() ([]byte, error) {
	content, err := r.dir.read(r.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if versionOf(content) > r.version {
		return nil, fmt.Errorf("%w; it is set aside as %s.other-version", ErrNewer, r.Path())
	}
	return decode(content)
}

// Write overwrites the record with body, of at most MaxBody bytes. Err reports a failure; the old record is emptied then, so
// that a restart does not believe it.
func (r *Record) Write(body []byte) {
	r.writing.Lock()
	defer r.writing.Unlock()
	if len(body) > MaxBody { // the caller's mistake: an empty record is better than an old one
		body = nil
	}
	r.last = encode(r.last[:0], r.version, body)
	r.write()
}

func (r *Record) write() {
	err := r.open()
	if err == nil {
		_, err = r.file.WriteAt(r.last, 0)
	}
	if err != nil {
		if file, err := r.dir.open(r.name, os.O_WRONLY); err == nil {
			file.Truncate(0)
			file.Close()
		}
	}
	r.failed(err)
}

// open makes sure that file is what a restart will find, also after it was removed or replaced.
func (r *Record) open() error {
	if found, err := os.Lstat(r.Path()); err == nil && r.file != nil && os.SameFile(found, r.info) {
		return nil
	}
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
	if err := r.dir.setAside(r.name, r.version); err != nil {
		return err
	}
	file, err := r.dir.openOrCreate(r.name, os.O_WRONLY)
	if err != nil {
		return err
	}
	if r.info, err = file.Stat(); err == nil && r.info.Size() > RecordSize { // written by another program
		err = file.Truncate(RecordSize)
	}
	if err != nil {
		file.Close()
		return err
	}
	r.file = file
	return nil
}

// Err returns why the record cannot be written, nil when it can. Where it could not be written Err tries again, so that a repair
// is noticed without a call.
func (r *Record) Err() error {
	err := r.problem()
	if err == nil || !r.writing.TryLock() { // the write that is under way will know better
		return err
	}
	defer r.writing.Unlock()
	if r.last == nil {
		r.failed(r.try())
	} else {
		r.write()
	}
	return r.problem()
}

func (r *Record) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *Record) problem() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// encode appends a record: the format, a check sum and, filled up with spaces, the body.
func encode(b []byte, version int, body []byte) []byte {
	b = append(strconv.AppendInt(append(b, recordFormat...), int64(version), 10), " 01234567 "...)
	start := len(b)
	b = append(b, body...)
	for len(b) < RecordSize-1 {
		b = append(b, ' ')
	}
	var sum [crc32.Size]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE(b[start:]))
	hex.Encode(b[start-len("01234567 "):], sum[:])
	return append(b, '\n')
}

// decode returns the body of a record.
func decode(content []byte) ([]byte, error) {
	format, rest, _ := bytes.Cut(content, []byte(" "))
	sum, body, _ := bytes.Cut(rest, []byte(" "))
	body, ended := bytes.CutSuffix(body, []byte("\n"))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || !ended || !strings.HasPrefix(string(format), recordFormat) || crc32.ChecksumIEEE(body) != uint32(want) {
		return nil, errDamaged
	}
	return bytes.TrimRight(body, " "), nil
}
