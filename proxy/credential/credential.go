// Package credential holds what opens Roam, and puts it on a request at the last moment: a Secret that refuses to be printed,
// a Source that knows the secret of the moment, and a Transport that adds it for one scheme and host and for no other.
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

// ErrCredential says that there is no usable credential, so that nothing was sent.
var ErrCredential = errors.New("credential: no usable credential")

// redacted is what every way of printing a Secret shows.
const redacted = "[redacted]"

// Secret is a credential that refuses to be printed. Reveal is the only way to read it, so that a reviewer finds every use with
// one search. It points to its value, because fmt prints the unexported fields of a struct around it without asking, and a
// pointer within a struct is printed as an address.
type Secret struct{ value *string }

// NewSecret hides a value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal is the value itself.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Derive returns a key for one purpose: HMAC-SHA256 of the purpose's name under the secret, which it does not show. Another secret
// has another key, and so has another purpose.
func (s Secret) Derive(purpose string) []byte {
	sum := hmac.New(sha256.New, []byte(s.Reveal()))
	sum.Write([]byte(purpose))
	return sum.Sum(nil)
}

// IsZero tells whether there is nothing to hide.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Format prints "[redacted]", whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String is "[redacted]".
func (Secret) String() string { return redacted }

// MarshalText is "[redacted]", in JSON and YAML too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary refuses, so that no encoder finds another way in.
func (Secret) MarshalBinary() ([]byte, error) {
	return nil, errors.New("credential: a secret is not to be encoded")
}

// Source knows the secret of the moment. It may be asked by many goroutines at once.
type Source interface {
	// Secret is what to send now. It is asked after the wait in the line and not before it, so that a call that waited for a
	// minute does not carry a secret that was replaced meanwhile. An error wraps ErrCredential.
	Secret(ctx context.Context) (Secret, error)
}

// Renewer is a Source whose secret can be replaced.
type Renewer interface {
	Source
	// Renew is asked once Roam has refused the secret old, and looks at once whether there is another. It is the same one
	// where there is not.
	Renew(ctx context.Context, old Secret) (Secret, error)
	// Last is what was valid when somebody last looked. It asks nobody.
	Last() Secret
}

// Checker is a Source that knows what is wrong with it.
type Checker interface {
	// Err tells what an operator must mend, or nil.
	Err() error
}

// Key is a Source that never changes.
type Key struct{ Value Secret }

// Secret is the key, or an error if there is none.
func (k Key) Secret(context.Context) (Secret, error) {
	if err := k.Err(); err != nil {
		return Secret{}, fmt.Errorf("%w: %w", ErrCredential, err)
	}
	return k.Value, nil
}

// Err reports why the key cannot be used, or nil.
func (k Key) Err() error { return CheckValue(k.Value.Reveal()) }

// Trim removes white space, line breaks and a byte order mark around a secret. Editors and echo add them.
func Trim(value string) string {
	return strings.TrimFunc(value, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
}

// CheckValue reports why a value, trimmed, cannot be a secret that roamproxy sends: no header field may carry it, so that a line break
// cannot become a second field, or it was copied together with something else. The error guesses what happened. It never has the value.
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
