package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// File is a JSON document that is replaced as a whole: kill -9 at any moment leaves the old or the new content.
// Its JSON member "version" is the version of the program that wrote it. Many goroutines may use it; writers must exclude each other.
type File struct {
	dir     *Dir
	name    string
	version int
}

// File returns the file of that name, of which this program knows the versions up to version.
func (d *Dir) File(name string, version int) *File { return &File{d, name, version} }

// Path returns where the file is.
func (f *File) Path() string { return filepath.Join(f.dir.path, f.name) }

// Read returns the content. The error is fs.ErrNotExist, ErrNewer, or that of the file system.
func (f *File) Read() ([]byte, error) {
	content, err := f.dir.read(f.name)
	if err == nil && versionOf(content) > f.version {
		return nil, fmt.Errorf("statefile: %s %w", f.Path(), ErrNewer)
	}
	return content, err
}

// Replace writes the content to a new file and renames it. It does not wait for the disk: after a loss of power the file may
// be damaged, and its reader must notice.
func (f *File) Replace(content []byte) error {
	d, err := f.draft()
	if err != nil {
		return err
	}
	_, err = d.file.Write(content)
	return d.finish(err)
}

// Draft is a file next to the one that it will replace. It ends with Commit or Discard.
type Draft struct {
	of   *File
	file *os.File
	name string
}

// Reserve takes size bytes on the disk, so that a later Commit of up to size bytes does not fail for want of space.
func (f *File) Reserve(size int) (*Draft, error) {
	d, err := f.draft()
	if err != nil {
		return nil, err
	}
	if _, err = d.file.Write(make([]byte, size)); err == nil {
		err = d.file.Sync()
	}
	if err != nil {
		d.Discard()
		return nil, err
	}
	return d, nil
}

func (f *File) draft() (*Draft, error) {
	next := f.name + ".new"
	if left, err := f.dir.open(next, os.O_RDONLY); err == nil { // of a process that was killed
		left.Close()
		if err = os.Remove(filepath.Join(f.dir.path, next)); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, err := f.dir.open(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	return &Draft{f, file, file.Name()}, nil
}

// Commit puts content in the place of the file. Once it has returned, not even a loss of power undoes that.
func (d *Draft) Commit(content []byte) error {
	_, err := d.file.WriteAt(content, 0)
	if err == nil {
		err = d.file.Truncate(int64(len(content)))
	}
	if err == nil {
		err = d.file.Sync()
	}
	if err = d.finish(err); err != nil {
		return err
	}
	dir, err := os.Open(d.of.dir.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// finish renames the draft unless writing it failed.
func (d *Draft) finish(err error) error {
	if err == nil {
		err = d.of.dir.setAside(d.of.name, d.of.version)
	}
	if err == nil {
		err = os.Rename(d.name, d.of.Path())
	}
	if err != nil {
		d.Discard()
		return err
	}
	return d.file.Close()
}

// Discard removes the draft.
func (d *Draft) Discard() {
	d.file.Close()
	os.Remove(d.name)
}
