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

// Grant is what an authorization server issued. It must survive a restart: each refresh replaces the refresh token, and using an old one
// ends the whole grant.
type Grant struct {
	Access, Refresh   Secret
	Obtained, Expires time.Time // when Access was obtained and when it ends; Expires zero: unknown
	Seed              string    // SHA-256 of the configured refresh token that this grant came from; "": none
}

// grantVersion is the version of the file's format. A file without a version has the same format.
const grantVersion = 1

// grantRecord is a Grant as it is in the file. No other code encodes a secret.
type grantRecord struct {
	Version  int       `json:"version"`
	Access   string    `json:"access_token"`
	Refresh  string    `json:"refresh_token"`
	Obtained time.Time `json:"had"`
	Expires  time.Time `json:"expires,omitzero"`
	Seed     string    `json:"seed,omitempty"`
}

// seedOf returns the SHA-256 of a configured refresh token, to recognise whether a grant came from it.
func seedOf(refresh Secret) string {
	if refresh.IsZero() {
		return ""
	}
	sum := sha256.Sum256([]byte(refresh.Reveal()))
	return hex.EncodeToString(sum[:])
}

// grantFile is the file of a Grant.
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
	if json.Unmarshal(content, &k) != nil { // the text of the error could show a part of a secret
		return Grant{}, fmt.Errorf("%s is damaged; remove it and run roamproxy login", f.Path())
	}
	if CheckValue(k.Access) != nil { // the file was edited; a refresh brings another access token
		k.Access = ""
	}
	return Grant{NewSecret(k.Access), NewSecret(k.Refresh), k.Obtained, k.Expires, k.Seed}, nil
}

// grantRoom is reserved on the disk before a grant is requested, in bytes, so that a full disk cannot lose one. No grant is longer.
const grantRoom = 16 << 10

// prepare reserves grantRoom on the disk.
func (f grantFile) prepare() (*statefile.Draft, error) { return f.Reserve(grantRoom) }

// keep replaces the file by the grant.
func (g Grant) keep(room *statefile.Draft) error {
	content, err := json.Marshal(grantRecord{grantVersion, g.Access.Reveal(), g.Refresh.Reveal(), g.Obtained, g.Expires, g.Seed})
	if err != nil {
		room.Discard()
		return err
	}
	return room.Commit(content)
}
