package cache

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
)

// errNoObject reports JSON that is not an object, errMalformed text that is not JSON.
var (
	errNoObject  = errors.New("cache: not a JSON object")
	errMalformed = errors.New("cache: malformed JSON")
)

// maxName bounds the bytes of a member's name, with its escapes, and of a literal.
const maxName = 64

// okField returns the value of the first member "ok" of the JSON object in r, or "" without one. It stops reading there, and holds at
// most a name and a short value. It checks JSON as far as necessary to find the member, and that the object ends.
func okField(r io.Reader) (value string, err error) {
	s := &jsonScanner{in: bufio.NewReaderSize(r, 4<<10)}
	if s.space() != '{' {
		if s.err != nil {
			return "", errMalformed
		}
		return "", errNoObject
	}
	for first := true; ; first = false {
		switch c := s.space(); {
		case c == '}' && first:
			return "", s.err
		case c != '"':
			return "", errMalformed
		}
		name := s.text(maxName)
		if s.space() != ':' {
			return "", errMalformed
		}
		value := s.value(s.space())
		if s.err != nil {
			return "", errMalformed
		}
		if name == "ok" {
			return value, nil
		}
		switch s.space() {
		case ',':
		case '}':
			return "", nil
		default:
			return "", errMalformed
		}
	}
}

// jsonScanner reads JSON byte by byte. After an error every byte is 0.
type jsonScanner struct {
	in  *bufio.Reader
	err error
}

func (s *jsonScanner) next() byte {
	if s.err != nil {
		return 0
	}
	c, err := s.in.ReadByte()
	if err != nil {
		s.err = err
		return 0
	}
	return c
}

// space returns the next byte that is not white space.
func (s *jsonScanner) space() byte {
	for {
		switch c := s.next(); c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
}

// text reads the rest of a string after its first quote and returns it, or "" if it has more than most bytes.
func (s *jsonScanner) text(most int) string {
	quoted := []byte{'"'}
	for escaped := false; s.err == nil; {
		c := s.next()
		if c < ' ' {
			s.err = errMalformed
		}
		if len(quoted) <= most {
			quoted = append(quoted, c)
		}
		if c == '"' && !escaped {
			break
		}
		escaped = c == '\\' && !escaped
	}
	var text string
	if s.err != nil || len(quoted) > most || json.Unmarshal(quoted, &text) != nil {
		return ""
	}
	return text
}

// value reads a value that begins with c. It returns a literal whole, and the first byte of anything else.
func (s *jsonScanner) value(c byte) string {
	switch c {
	case '"':
		s.text(0)
		return string(c)
	case '{', '[':
		s.nested(c)
		return string(c)
	}
	var literal []byte
	for s.err == nil && len(literal) < maxName {
		if c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			s.in.UnreadByte()
			break
		}
		literal = append(literal, c)
		c = s.next()
	}
	if !json.Valid(literal) {
		s.err = errMalformed
	}
	return string(literal)
}

// maxDepth bounds the depth, as encoding/json does.
const maxDepth = 10000

// nested reads up to the end of an object or array that begins with c.
func (s *jsonScanner) nested(c byte) {
	open := []byte{c}
	for s.err == nil && len(open) > 0 {
		switch c := s.space(); c {
		case '"':
			s.text(0)
		case '{', '[':
			if open = append(open, c); len(open) > maxDepth {
				s.err = errMalformed
			}
		case '}', ']':
			if open[len(open)-1] != c-2 { // '{' and '[' are two before
				s.err = errMalformed
			}
			open = open[:len(open)-1]
		}
	}
}
