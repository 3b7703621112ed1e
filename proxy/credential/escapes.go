package credential

import (
	"html"
	"slices"
	"strconv"
	"strings"
)

// maxLayers bounds how deeply escapes are nested: HTML that quotes JSON that quotes a URL has three layers. Backslashes may be doubled any
// number of times.
const maxLayers = 3

// letter is a character, and the number of bytes that encode it.
type letter struct {
	c byte
	n int
}

// letters are the readings of the same bytes: as they are, and one for each layer of escapes.
type letters struct {
	all   [maxLayers + 1]letter
	count int
}

func (l *letters) add(more letter) {
	if l.count < len(l.all) && !slices.Contains(l.all[:l.count], more) {
		l.all[l.count] = more
		l.count++
	}
}

// isEscape reports whether an escape may begin with c.
func isEscape(c byte) bool { return c == '%' || c == '\\' || c == '&' }

// maxNUL bounds the NUL bytes before a character: three in UTF-32.
const maxNUL = 3

// readLetter returns the readings of the first bytes of b: the first character as it is, and the escape that it begins. Escapes are
// %3d, %u003d, \u003d, \x3d, \075, \/, &#61;, &#x3d; and &equals;. The characters of an escape may be escaped too. NUL bytes are
// skipped: in UTF-16 every second byte is one.
func readLetter(b []byte, layers int) (found letters) {
	skipped := 0
	for skipped < min(len(b), maxNUL) && b[skipped] == 0 {
		skipped++
	}
	if skipped == len(b) {
		return found
	}
	found.add(letter{b[skipped], skipped + 1})
	if layers == 0 || !isEscape(b[skipped]) {
		return found
	}
	inner := readLetter(b, layers-1)
	for _, first := range inner.all[:inner.count] {
		rest := b[first.n:]
		var escaped letter
		switch first.c {
		case '%':
			escaped = percent(rest, layers-1)
		case '\\':
			escaped = backslash(rest, layers-1)
		case '&':
			escaped = entity(rest, layers-1)
		}
		if escaped.n == 0 { // it begins nothing
			found.add(first)
		} else {
			found.add(letter{escaped.c, first.n + escaped.n})
		}
	}
	return found
}

// next returns the first reading of the first bytes of b for which is returns true.
func next(b []byte, layers int, is func(byte) bool) (l letter, ok bool) {
	found := readLetter(b, layers)
	for _, l := range found.all[:found.count] {
		if is(l.c) {
			return l, true
		}
	}
	return letter{}, false
}

func isDigit(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }

// number returns the character whose code the next digits of b spell. n is 0 if they do not.
func number(b []byte, layers, digits, base int) letter {
	text, n := make([]byte, 0, 8), 0
	for range digits {
		l, ok := next(b[n:], layers, isDigit)
		if !ok {
			return letter{}
		}
		text, n = append(text, l.c), n+l.n
	}
	v, err := strconv.ParseUint(string(text), base, 32)
	if err != nil || v > 0x7f { // no secret has such a character
		return letter{}
	}
	return letter{byte(v), n}
}

// percent reads what follows %.
func percent(b []byte, layers int) letter {
	if u, ok := next(b, layers, func(c byte) bool { return c|0x20 == 'u' }); ok {
		l := number(b[u.n:], layers, 4, 16)
		return after(u.n, l)
	}
	return number(b, layers, 2, 16)
}

// after returns l with n more bytes in front of it.
func after(n int, l letter) letter {
	if l.n > 0 {
		l.n += n
	}
	return l
}

// maxBackslashes bounds a run of backslashes: a text that was quoted as JSON five times has 31.
const maxBackslashes = 32

// backslash reads what follows a backslash. It skips further backslashes, which quoting the text again adds.
func backslash(b []byte, layers int) letter {
	run := 0
	for run < min(len(b), maxBackslashes) && (b[run] == '\\' || b[run] == 0) {
		run++
	}
	kind, ok := next(b[run:], 0, func(byte) bool { return true })
	if !ok {
		return letter{}
	}
	digits := b[run+kind.n:]
	escaped := letter{}
	switch kind.c {
	case 'u':
		escaped = number(digits, layers, 4, 16)
	case 'U':
		escaped = number(digits, layers, 8, 16)
	case 'x':
		escaped = number(digits, layers, 2, 16)
	case '0', '1':
		if octal := number(b[run:], layers, 3, 8); octal.n > 0 {
			return after(run, octal)
		}
	case 'n':
		return letter{'\n', run + kind.n}
	case 'r':
		return letter{'\r', run + kind.n}
	}
	if escaped.n > 0 {
		return after(run+kind.n, escaped)
	}
	return after(run, kind)
}

// maxEntity is longer than the name of any ASCII character and than #x00003d;.
const maxEntity = 16

// entity reads what follows &.
func entity(b []byte, layers int) letter {
	text, n := append(make([]byte, 0, maxEntity+1), '&'), 0
	for range maxEntity {
		l, ok := next(b[n:], layers, func(c byte) bool {
			return c == '#' || c == ';' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
		})
		if !ok {
			break
		}
		text, n = append(text, l.c), n+l.n
		if l.c == ';' {
			break
		}
	}
	if s := html.UnescapeString(string(text)); len(s) == 1 {
		return letter{s[0], n}
	}
	return letter{}
}
