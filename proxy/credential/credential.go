// Package credential holds the secrets for Roam, and adds one to a request just before that is sent. A Secret cannot be printed, a Source
// returns the secret in force, and a Transport adds it to requests for one scheme and host only.
package credential

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// ErrCredential reports that there is no usable credential. Nothing was sent.
var ErrCredential = errors.New("credential: no usable credential")

// redacted is printed in place of a Secret.
const redacted = "[redacted]"

// Secret is a credential that cannot be printed. Reveal is the only way to read it, so a reviewer finds every use with one search. It
// points to its value, because fmt prints unexported fields of a surrounding struct without calling Format, and prints a pointer there as
// an address.
type Secret struct{ value *string }

// NewSecret returns a Secret that holds value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the value.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Derive returns a key for one purpose: the HMAC-SHA256 of the purpose's name under the secret. It does not show the secret. Different
// secrets and different purposes have different keys.
func (s Secret) Derive(purpose string) []byte {
	sum := hmac.New(sha256.New, []byte(s.Reveal()))
	sum.Write([]byte(purpose))
	return sum.Sum(nil)
}

// IsZero reports whether the value is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Format prints "[redacted]", whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// MarshalText returns "[redacted]", also for JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary returns an error, so that no other encoder can write a secret.
func (Secret) MarshalBinary() ([]byte, error) {
	return nil, errors.New("credential: a secret is not to be encoded")
}

// Source returns the secret in force. It may be used by many goroutines.
type Source interface {
	// Secret returns the secret to send now. It is called after a call's wait in the queue, so that a call which waited for a minute does
	// not carry a replaced secret. An error wraps ErrCredential.
	Secret(ctx context.Context) (Secret, error)
}

// Renewer is a Source whose secret can be replaced.
type Renewer interface {
	Source
	// Renew looks for another secret at once, after Roam has refused old. It returns old if there is no other.
	Renew(ctx context.Context, old Secret) (Secret, error)
	// Last returns the secret that was read or received last. It asks no server.
	Last() Secret
}

// Checker is a Source that reports its problems.
type Checker interface {
	// Err returns what an operator must fix, or nil.
	Err() error
}

// Key is a Source that never changes.
type Key struct{ Value Secret }

// Secret returns the key, or an error if it is unusable.
func (k Key) Secret(context.Context) (Secret, error) {
	if err := k.Err(); err != nil {
		return Secret{}, fmt.Errorf("%w: %w", ErrCredential, err)
	}
	return k.Value, nil
}

// Err returns why the key cannot be used, or nil.
func (k Key) Err() error { return CheckValue(k.Value.Reveal()) }

// Trim removes white space, line breaks and a byte order mark around a secret. Editors and echo add them.
func Trim(value string) string {
	return strings.TrimFunc(value, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
}

// CheckValue returns why a trimmed value cannot be sent as a secret, or nil. A header field could not carry it (a line break would begin a
// second field), or it was copied together with something else. The error guesses the mistake, and never contains the value.
func CheckValue(value string) error {
	lower := strings.ToLower(value)
	switch {
	case value == "":
		return errors.New("the secret is empty")
	case strings.HasPrefix(lower, "bearer ") || lower == "bearer":
		return errors.New("the secret starts with Bearer: give the key alone")
	case strings.ContainsAny(value[:1]+value[len(value)-1:], "\"'`"):
		return errors.New("the secret is in quotes, which are part of it here: give the key without them")
	case value[0] == '<' && value[len(value)-1] == '>':
		return errors.New("the secret is a placeholder in angle brackets: give the key itself")
	case strings.HasPrefix(value, "ROAM_API_KEY=") || strings.HasPrefix(lower, "export "):
		return errors.New("the secret starts with the name of a variable: give the key alone")
	}
	for _, c := range []byte(value) {
		if c <= ' ' || c >= 0x7f {
			return errors.New("the secret holds a space, a control character or a letter beyond ASCII")
		}
	}
	return nil
}
