package repeat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/dunglas/httpsfv"
)

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// MarshalText returns the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText returns.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return errRecord
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// Write is one write of a tool.
type Write struct {
	Tool        string
	Key         string // its Idempotency-Key, without quotes; "": none
	Fingerprint Digest // of method, path, query and body
	Resend      bool   // the tool demands that it is sent, whatever is remembered
}

// Fingerprint returns a digest of what a write sends. body is the digest of its body.
func Fingerprint(method, path, query string, body Digest) Digest {
	return digest("%q %q %q %x", method, path, query, body)
}

// id identifies a remembered write. It shows neither key nor content.
type id Digest

func (i id) String() string { return hex.EncodeToString(i[:]) }

func (w Write) id() id {
	if w.Key != "" {
		return id(digest("key %q %q", w.Tool, w.Key))
	}
	return id(digest("write %q %x", w.Tool, w.Fingerprint))
}

func digest(format string, args ...any) (d Digest) {
	h := sha256.New()
	fmt.Fprintf(h, format, args...)
	h.Sum(d[:0])
	return d
}

// BodyDigest returns the digest of all bytes that r returns.
func BodyDigest(r io.Reader) (d Digest, err error) {
	h := sha256.New()
	_, err = io.Copy(h, r)
	h.Sum(d[:0])
	return d, err
}

// ErrKey reports an Idempotency-Key that cannot be used.
var ErrKey = errors.New(`repeat: Idempotency-Key must be one string of 1 to 255 printable ASCII characters, such as "8e03978e-40d5"`)

// maxKey bounds a key, in bytes: other APIs with such keys allow 255. A UUID has 36.
const maxKey = 255

// ParseKey returns the key in the Idempotency-Key fields of a request, or "" if there are none. The draft requires a string in quotes
// (RFC 9651, section 3.3.3); most clients send the key without quotes, which ParseKey accepts too.
func ParseKey(fields []string) (string, error) {
	if len(fields) == 0 {
		return "", nil
	}
	if len(fields) > 1 {
		return "", ErrKey
	}
	key := fields[0]
	if len(key) > 0 && key[0] == '"' {
		item, err := httpsfv.UnmarshalItem(fields)
		if err != nil {
			return "", ErrKey
		}
		key, _ = item.Value.(string)
	}
	if key == "" || len(key) > maxKey {
		return "", ErrKey
	}
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' {
			return "", ErrKey
		}
	}
	return key, nil
}
