package credential

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// maxFileAge is how long the content of a file is used before the file is read again. A rotated secret must be in force within 10 s.
const maxFileAge = 5 * time.Second

// maxFileSize bounds how much is read, in bytes: a credential has a few hundred, and a wrong path may name any file.
const maxFileSize = 64 << 10

// File is a Source that reads a file again from time to time. It compares the content, so it notices the swap of a symbolic link by which
// Kubernetes replaces a mounted secret. If the file becomes unreadable, the last good secret stays in force and Err reports the problem.
//
// File is also a Renewer.
type File struct {
	path string

	mu       sync.Mutex // guards the following; held while the file is read
	lastRead time.Time
	last     Secret
	err      error
}

// NewFile returns a Source that reads the file at path. It does not read it yet.
func NewFile(path string) *File { return &File{path: path} }

// Secret returns the content of the file, without the white space around it.
func (f *File) Secret(context.Context) (Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	if f.last.IsZero() {
		return Secret{}, fmt.Errorf("%w: %w", ErrCredential, f.err)
	}
	return f.last, nil
}

// Renew reads the file at once.
func (f *File) Renew(ctx context.Context, _ Secret) (Secret, error) {
	f.mu.Lock()
	f.lastRead = time.Time{}
	f.mu.Unlock()
	return f.Secret(ctx)
}

// Last returns the last usable content of the file. It reads the file if it has not done so for maxFileAge.
func (f *File) Last() Secret {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.last
}

// Err returns why the last attempt to read the file failed, or nil.
func (f *File) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.err
}

func (f *File) refresh() {
	if !f.lastRead.IsZero() && time.Since(f.lastRead) < maxFileAge {
		return
	}
	f.lastRead = time.Now()
	value, err := ReadFile(f.path)
	if f.err = err; err == nil && value != f.last.Reveal() {
		f.last = NewSecret(value)
	}
}

// ReadFile returns the trimmed secret in the file at path. The error names the file and the problem.
func ReadFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err // names the path and the reason
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	switch {
	case err != nil:
		return "", err
	case len(content) > maxFileSize:
		return "", fmt.Errorf("%s: larger than %d bytes, so it is not a file with a secret alone", path, maxFileSize)
	}
	value := Trim(string(content))
	if err := CheckValue(value); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return value, nil
}
