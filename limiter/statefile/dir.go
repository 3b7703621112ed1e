// Package statefile keeps what must outlive the process in small files of one directory.
//
//	Dir      the state directory: private to its user, locked by the process that serves
//	Record   overwritten in place at every call; needs no free space on a full disk
//	File     replaced as a whole, rarely; a reader finds the old or the new content
//
// The package knows bytes, a version and safety. Its users know what the bytes mean.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

var (
	// ErrUnsafe reports that other users could read or change what is kept.
	ErrUnsafe = errors.New("other users could read or change what is kept there")
	// ErrNewer reports that the file was written by a newer roamproxy. It is set aside before it is overwritten.
	ErrNewer = errors.New("was written by a later roamproxy")
)

// Dir is the state directory. It may be used by many goroutines.
type Dir struct{ path string }

// Open returns the directory at path and creates it with mode 0700 if need be. The error is ErrUnsafe. A directory that cannot
// be created or used is no error here: each operation reports it, and succeeds once the operator has repaired the directory.
func Open(path string) (*Dir, error) {
	d := &Dir{path}
	if err := d.create(); errors.Is(err, ErrUnsafe) {
		return nil, err
	}
	return d, nil
}

// Check returns the ErrUnsafe that Open would, and changes nothing.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil // Open creates it, or reports later what is in the way
	}
	return private(path, info)
}

// Path returns the path as it was given to Open.
func (d *Dir) Path() string { return d.path }

func (d *Dir) create() error {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return err
	}
	return d.check()
}

// check looks at the directory anew, because it may have been replaced since the start.
func (d *Dir) check() error {
	info, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	return private(d.path, info)
}

// private reports whether other users could change a directory or file. Root may own it, because root can change everything anyway.
func private(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("statefile: %s belongs to user %d and roamproxy runs as user %d: %w; "+
			"run roamproxy as its owner, or chown it", path, stat.Uid, os.Geteuid(), ErrUnsafe)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("statefile: %s can be written by others (%v): %w; chmod go-w %s", path, info.Mode(), ErrUnsafe, path)
	}
	return nil
}

// open opens a regular file without following a link. O_NONBLOCK: to open a FIFO must not block.
func (d *Dir) open(name string, flag int) (*os.File, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	path := filepath.Join(d.path, name)
	file, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("statefile: %s is a symbolic link, which is not followed; remove it", path)
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("statefile: %s is no regular file (%v); remove it", path, info.Mode())
	}
	if err == nil {
		err = private(path, info)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// openOrCreate opens the file or, where there is none, creates it exclusively.
func (d *Dir) openOrCreate(name string, flag int) (*os.File, error) {
	for {
		file, err := d.open(name, flag)
		if !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
		file, err = d.open(name, flag|os.O_CREATE|os.O_EXCL)
		if !errors.Is(err, fs.ErrExist) { // else another process was faster: open its file
			return file, err
		}
	}
}

// maxSize bounds what is read of a file. The largest, the daily counts of a thousand tools, has some 100 KiB.
const maxSize = 1 << 20

// read returns the content of a file, or an error that is fs.ErrNotExist.
func (d *Dir) read(name string) ([]byte, error) {
	file, err := d.open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxSize))
}

// setAside renames the file if a roamproxy newer than version wrote it, so that the newer one can have it back.
func (d *Dir) setAside(name string, version int) error {
	content, err := d.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || versionOf(content) <= version {
		return err
	}
	path := filepath.Join(d.path, name)
	return os.Rename(path, path+".other-version")
}

// versionOf returns the version in a file: of a Record in its first word, of a File in its JSON member "version". 0: none.
func versionOf(content []byte) int {
	if rest, ok := strings.CutPrefix(string(content), recordFormat); ok {
		number, _, _ := strings.Cut(rest, " ")
		version, _ := strconv.Atoi(number)
		return version
	}
	var file struct {
		Version int `json:"version"`
	}
	json.Unmarshal(content, &file) // what is damaged has no version
	return file.Version
}
