package credential

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"roamproxy/limiter/statefile"
)

// Grant is what an authorization server gave us: it outlives the process, because each refresh replaces the refresh token and
// makes the old one worthless, and the use of a worthless one ends the whole grant.
type Grant struct {
	Access, Refresh   Secret
	Obtained, Expires time.Time // of Access; Expires zero: it does not say
	Seed              string    // SHA-256 of the configured refresh token that this grant replaces; "": there was none
}

// grantVersion is of the file as it is written; files without a version are of before there were any, and alike.
const grantVersion = 1

// grantRecord is a Grant as it is written. Nothing else ever encodes a secret.
type grantRecord struct {
	Version  int       `json:"version"`
	Access   string    `json:"access_token"`
	Refresh  string    `json:"refresh_token"`
	Obtained time.Time `json:"had"`
	Expires  time.Time `json:"expires,omitzero"`
	Seed     string    `json:"seed,omitempty"`
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
type grantFile struct{ *statefile.File }

func newGrantFile(dir *statefile.Dir, credential string) grantFile {
	return grantFile{dir.File("oauth-"+credential+".json", grantVersion)}
}

// read returns the grant, the zero Grant when there is none.
func (f grantFile) read() (Grant, error) {
	content, err := f.Read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Grant{}, nil
	case errors.Is(err, statefile.ErrNewer):
		return Grant{}, fmt.Errorf("%w, and left as it is: start that one, or run roamproxy login, which sets the file aside", err)
	case err != nil:
		return Grant{}, err
	}
	var k grantRecord
	if json.Unmarshal(content, &k) != nil { // whose text could show a part of it
		return Grant{}, fmt.Errorf("%s is damaged; remove it and run roamproxy login", f.Path())
	}
	if CheckValue(k.Access) != nil { // a file that was edited: another one is to be had with the refresh token
		k.Access = ""
	}
	return Grant{NewSecret(k.Access), NewSecret(k.Refresh), k.Obtained, k.Expires, k.Seed}, nil
}

// grantRoom is what is reserved on the disk before a grant is asked for, so that one is not lost for want of a place to keep it.
// No grant is longer.
const grantRoom = 16 << 10

// prepare reserves the room.
func (f grantFile) prepare() (*statefile.Draft, error) { return f.Reserve(grantRoom) }

// keep writes the grant in the place of the old one.
func (g Grant) keep(room *statefile.Draft) error {
	content, err := json.Marshal(grantRecord{grantVersion, g.Access.Reveal(), g.Refresh.Reveal(), g.Obtained, g.Expires, g.Seed})
	if err != nil {
		room.Discard()
		return err
	}
	return room.Commit(content)
}
