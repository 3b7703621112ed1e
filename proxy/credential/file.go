package credential

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// maxFileAge is how old the last look at a file may be. A rotated secret is wanted within 10 s; half of that leaves room for
// the call that finds out.
const maxFileAge = 5 * time.Second

// maxFileSize bounds what is read: a credential has a few hundred bytes, a mistaken path may name anything.
const maxFileSize = 64 << 10

// File is a Source that reads a file again when its content changes. It compares content and not names or times, so that it
// sees the swap of a symbolic link, by which Kubernetes replaces a mounted secret. A file that cannot be read any more leaves
// the last good secret in use; Err then tells.
//
// It is also a Renewer.
type File struct {
	path string

	mu       sync.Mutex // guards the following; held while the file is read
	lastRead time.Time
	last     Secret
	err      error
}

// NewFile makes a Source of the file at path. Nothing is read yet.
func NewFile(path string) *File { return &File{path: path} }

// Secret is the content of the file, without the white space around it.
func (f *File) Secret(context.Context) (Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	if f.last.IsZero() {
		return Secret{}, fmt.Errorf("%w: %w", ErrCredential, f.err)
	}
	return f.last, nil
}

// Renew reads the file at once, however fresh the last look is.
func (f *File) Renew(ctx context.Context, _ Secret) (Secret, error) {
	f.mu.Lock()
	f.lastRead = time.Time{}
	f.mu.Unlock()
	return f.Secret(ctx)
}

// Last is the content of the file as it was last found usable, with a look when that is long ago.
func (f *File) Last() Secret {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.last
}

// Err tells why the file could not be read when it was last looked at, or nil.
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

// ReadFile returns the secret in the file at path, trimmed. The error names the file, and why it has no usable secret.
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
