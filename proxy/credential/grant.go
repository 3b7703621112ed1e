package credential

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Grant is what an authorization server gave us: it outlives the process, because each refresh replaces the refresh token and
// makes the old one worthless, and the use of a worthless one ends the whole grant.
type Grant struct {
	Access, Refresh Secret
	Had, Expires    time.Time // of Access; Expires zero: it does not say
	Seed            string    // SHA-256 of the configured refresh token that this grant replaces; "": there was none
}

// grantVersion is of the file as it is written; files without a version are of before there were any, and alike.
const grantVersion = 1

// errVersion is what a file is that a later roamproxy wrote.
var errVersion = errors.New("is of a later roamproxy, and left as it is: start that one, or run roamproxy login, which sets the file aside")

// kept is a Grant as it is written. Nothing else ever encodes a secret.
type kept struct {
	Version int       `json:"version"`
	Access  string    `json:"access_token"`
	Refresh string    `json:"refresh_token"`
	Had     time.Time `json:"had"`
	Expires time.Time `json:"expires,omitzero"`
	Seed    string    `json:"seed,omitempty"`
}

// seedOf is the trace of a configured refresh token, by which a new one is told from the one that a grant came from.
func seedOf(refresh Secret) string {
	if refresh.IsZero() {
		return ""
	}
	sum := sha256.Sum256([]byte(refresh.Reveal()))
	return hex.EncodeToString(sum[:])
}

// grantFile keeps a Grant.
type grantFile struct{ path string }

func newGrantFile(dir, credential string) grantFile {
	return grantFile{filepath.Join(dir, "oauth-"+credential+".json")}
}

// read is what is kept. The zero Grant is that nothing is.
func (f grantFile) read() (Grant, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Grant{}, nil
	}
	if err != nil {
		return Grant{}, err
	}
	defer file.Close()
	var k kept
	err = json.NewDecoder(io.LimitReader(file, fileSize)).Decode(&k) // whose text shows no value
	if k.Version > grantVersion {
		return Grant{}, fmt.Errorf("%s %w", f.path, errVersion)
	}
	if err != nil {
		return Grant{}, fmt.Errorf("%s is damaged; remove it and run roamproxy login", f.path)
	}
	return Grant{NewSecret(k.Access), NewSecret(k.Refresh), k.Had, k.Expires, k.Seed}, nil
}

// lock keeps every other process, and every other user of the file in this one, from refreshing the same grant meanwhile.
func (f grantFile) lock() (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(f.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}

// grantRoom is what prepare takes on the disk: no grant is longer.
const grantRoom = 16 << 10

// draft is a file next to the one that is kept, with room for a grant.
type draft struct {
	*os.File
	of grantFile
}

// prepare takes the room before a grant is asked for, so that one is not lost for want of a place to keep it.
func (f grantFile) prepare() (*draft, error) {
	file, err := os.OpenFile(f.path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	d := &draft{file, f}
	if _, err = file.Write(make([]byte, grantRoom)); err == nil {
		err = file.Sync()
	}
	if err != nil {
		d.discard()
		return nil, err
	}
	return d, nil
}

// keep writes the grant and puts it in the place of the old one; once it has returned, not even a loss of power undoes that.
func (d *draft) keep(g Grant) error {
	content, err := json.Marshal(kept{grantVersion, g.Access.Reveal(), g.Refresh.Reveal(), g.Had, g.Expires, g.Seed})
	if err == nil {
		_, err = d.WriteAt(content, 0)
	}
	if err == nil {
		err = d.Truncate(int64(len(content)))
	}
	if err == nil {
		err = d.Sync()
	}
	if _, unread := d.of.read(); err == nil && errors.Is(unread, errVersion) {
		err = os.Rename(d.of.path, d.of.path+".other-version")
	}
	if err == nil {
		err = os.Rename(d.Name(), d.of.path)
	}
	if err != nil {
		d.discard()
		return err
	}
	d.Close()
	dir, err := os.Open(filepath.Dir(d.of.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func (d *draft) discard() {
	d.Close()
	os.Remove(d.Name())
}
