package credential

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"net/http"
	"slices"
	"strings"
)

// redactor removes secrets from responses, because an upstream may repeat what it received. It replaces each byte of a secret by a star, so
// lengths stay the same. It recognises a secret in any case of letters, as text, hex or base64, also behind several layers of escapes (see
// readLetter). It may be used by many goroutines.
type redactor struct {
	secrets []string
	forms   []form
	starts  [256]bool // first bytes of the forms, in either case
	window  int       // length of the longest possible occurrence, in bytes

	shortest int // length of the shortest secret: a short one may be part of any text
}

// form is one way to write a secret.
type form struct {
	letters     []byte // in lower case
	left, right int    // further base64 letters on either side that contain bits of the secret
}

const (
	// minEncoded is the length of the shortest secret that is searched for in hex, in base64 and in names of fields.
	minEncoded = 4
	// maxEscaped bounds the bytes that encode one letter: `\\u0072` in UTF-16 has 14, `&amp;#x0072;` has 12.
	maxEscaped = 16
	// maxWindow bounds how much of a body is held back, in bytes: enough for a token of 4 KiB.
	maxWindow = 64 << 10
)

func newRedactor(secrets ...string) *redactor {
	r := &redactor{shortest: math.MaxInt}
	longest := 0
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		r.secrets = append(r.secrets, secret)
		r.shortest = min(r.shortest, len(secret))
		for _, f := range formsOf(secret) {
			r.forms = append(r.forms, f)
			r.starts[f.letters[0]], r.starts[strings.ToUpper(string(f.letters[:1]))[0]] = true, true
			longest = max(longest, len(f.letters)+2)
		}
	}
	r.window = min((longest+1)*maxEscaped, maxWindow)
	return r
}

// formsOf returns the forms of a secret: as it is, in hex, and in base64 after a text of any length such as "Bearer " or "user:".
func formsOf(secret string) []form {
	forms := []form{{letters: lower([]byte(secret))}}
	if len(secret) < minEncoded {
		return forms
	}
	forms = append(forms, form{letters: lower([]byte(hex.EncodeToString([]byte(secret))))})
	for before := range 3 { // three bytes are four letters, so that the length before matters modulo 3
		padded := append(make([]byte, before), secret...)
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			letters := encoding.EncodeToString(padded)
			first, last := (before*8+5)/6, len(padded)*8/6 // the letters outside depend on what stands around
			forms = append(forms, form{lower([]byte(letters[first:last])), min(before, 1), len(letters) - last})
		}
	}
	return forms
}

// redact overwrites every secret in b and reports whether there was one. If more bytes will follow, it leaves an occurrence at the very end
// for the next call.
func (r *redactor) redact(b []byte, more bool) (found bool) {
	last := len(b)
	if more {
		last -= maxEscaped
	}
	for at, c := range b {
		if !r.starts[c] && (!isEscape(c) || !r.startsEscaped(b[at:])) {
			continue
		}
		for i := range r.forms {
			end := r.forms[i].match(b, at)
			if end < 0 || end > last {
				continue
			}
			for j := max(at-r.forms[i].left, 0); j < end; j++ {
				b[j] = '*'
			}
			found = true
		}
	}
	return found
}

// startsEscaped reports whether a form may begin with the escape that b begins with.
func (r *redactor) startsEscaped(b []byte) bool {
	if len(b) > 1 && b[0] == '\\' && b[1] == '\\' {
		return false // the last of them begins the same
	}
	found := readLetter(b, maxLayers)
	return slices.ContainsFunc(found.all[:found.count], func(l letter) bool { return r.starts[l.c] })
}

// match returns the end of the form that begins at b[at], or -1. There may be line breaks between its letters.
func (f *form) match(b []byte, at int) int {
	end, i := at, 0
	for ; i < len(f.letters) && end < len(b) && lowerLetter(b[end]) == f.letters[i] && !isEscape(b[end]); i++ {
		end++ // most are written as they are
	}
	if i < len(f.letters) {
		if end == len(b) || !isEscape(b[end]) && (i == 0 || b[end] != 0 && b[end] != '\r' && b[end] != '\n') {
			return -1
		}
		if end = f.escaped(b, at); end < 0 {
			return -1
		}
	}
	for range f.right {
		beside := readLetter(b[end:], maxLayers)
		end += beside.all[max(beside.count-1, 0)].n
	}
	return end
}

// escaped returns the end of a form whose letters may be escaped, or -1, as match does for one without escapes.
func (f *form) escaped(b []byte, at int) int {
	ends := []int{at} // of the letters so far: an escape may be meant as one, or as what it looks like
	for i, want := range f.letters {
		var next []int
		for j := 0; j < len(ends); j++ {
			found := readLetter(b[ends[j]:], maxLayers)
			for _, c := range found.all[:found.count] {
				switch end := ends[j] + c.n; {
				case lowerLetter(c.c) == want:
					next = add(next, end)
				case i > 0 && (c.c == '\r' || c.c == '\n'):
					ends = add(ends, end)
				}
			}
		}
		if len(next) == 0 {
			return -1
		}
		ends = next
	}
	return ends[len(ends)-1]
}

func add(ends []int, end int) []int {
	if slices.Contains(ends, end) {
		return ends
	}
	return append(ends, end)
}

// text returns s without secrets.
func (r *redactor) text(s string) string {
	b := []byte(s)
	if !r.redact(b, false) {
		return s
	}
	return string(b)
}

// header redacts the values in h, and removes fields whose name contains a secret.
func (r *redactor) header(h http.Header) {
	for name, values := range h {
		if r.shortest >= minEncoded && r.text(name) != name {
			delete(h, name)
			continue
		}
		for i, v := range values {
			values[i] = r.text(v)
		}
	}
}

// error wraps err in an error whose text shows no secret. It cuts the text at the first quote, because net/http quotes what the upstream
// sent. errors.Is and errors.As find err.
func (r *redactor) error(err error) error {
	cut, _, quoted := strings.Cut(r.text(err.Error()), `"`)
	if quoted {
		cut = strings.TrimRight(cut, ` :\`)
	}
	return &redactedError{cut, err}
}

// redactedError is a net.Error, because callers of a RoundTripper use Timeout.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.err }

// Timeout reports whether the wrapped error is a timeout.
func (e *redactedError) Timeout() bool {
	t, ok := e.err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// Temporary completes net.Error.
func (e *redactedError) Temporary() bool { return e.Timeout() }

// lower is bytes.ToLower for ASCII only, so that lengths do not change.
func lower(b []byte) []byte {
	l := make([]byte, len(b))
	for i, c := range b {
		l[i] = lowerLetter(c)
	}
	return l
}

func lowerLetter(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
