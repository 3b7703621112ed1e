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
	Fingerprint Digest // of what it sends
	Resend      bool   // the tool wants it sent, whatever is remembered
}

// Fingerprint identifies what a write sends. Body is the digest of its body.
func Fingerprint(method, path, query string, body Digest) Digest {
	return digest("%q %q %q %x", method, path, query, body)
}

// id is under what a write is remembered. It shows neither key nor content.
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

// BodyDigest returns the digest of what r still holds.
func BodyDigest(r io.Reader) (d Digest, err error) {
	h := sha256.New()
	_, err = io.Copy(h, r)
	h.Sum(d[:0])
	return d, err
}

// ErrKey reports an Idempotency-Key that cannot be used.
var ErrKey = errors.New(`repeat: Idempotency-Key must be one string of 1 to 255 printable ASCII characters, such as "8e03978e-40d5"`)

// maxKey is the length that users of such keys rely on; a UUID has 36 characters.
const maxKey = 255

// ParseKey returns the key of the Idempotency-Key fields of a request, "" where there are none. The draft wants a string in
// quotes (RFC 9651, section 3.3.3); most clients send the bare key, which means the same.
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
