package credential

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// echo blanks a secret that Roam repeats to whoever called. A byte becomes a star, so that every length stays true.
type echo struct {
	secret string
	forms  [][]byte
}

// newEcho knows the forms in which a secret may come back: as it is, and as the usual escapes and encodings write it.
func newEcho(secret string) echo {
	e := echo{secret: secret}
	for _, form := range []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), strings.ReplaceAll(secret, "/", `\/`),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)),
	} {
		if form != "" {
			e.forms = append(e.forms, []byte(form))
		}
	}
	return e
}

// longest is the length of the longest form.
func (e echo) longest() (n int) {
	for _, form := range e.forms {
		n = max(n, len(form))
	}
	return n
}

// blank overwrites every form within b.
func (e echo) blank(b []byte) {
	for _, form := range e.forms {
		for at := 0; ; {
			i := bytes.Index(b[at:], form)
			if i < 0 {
				break
			}
			at += i
			for j := range form {
				b[at+j] = '*'
			}
		}
	}
}

// header blanks the values of h, which is the answer's own.
func (e echo) header(h http.Header) {
	for _, values := range h {
		for i, v := range values {
			b := []byte(v)
			if e.blank(b); string(b) != v {
				values[i] = string(b)
			}
		}
	}
}

// body blanks what is read of an answer. A compressed one is read in the clear; what cannot be is withheld, because nobody
// could tell what is in it.
func (e echo) body(res *http.Response) {
	if res.Body == nil || res.Body == http.NoBody || res.ContentLength == 0 {
		return
	}
	source := io.Reader(res.Body)
	switch encoding := strings.ToLower(strings.Join(res.Header["Content-Encoding"], ",")); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		source = &gunzip{from: res.Body}
		res.Header.Del("Content-Encoding")
		res.Header.Del("Content-Length")
		res.ContentLength = -1
	default:
		source = strings.NewReader("")
		res.Header.Del("Content-Encoding")
		res.Header.Set("Content-Length", "0")
		res.ContentLength = 0
	}
	res.Body = &blanked{source: source, Closer: res.Body, echo: e, keep: e.longest() - 1}
}

// gunzip reads the header of the compressed body only when it is asked for the first byte.
type gunzip struct {
	from io.Reader
	r    *gzip.Reader
}

func (g *gunzip) Read(p []byte) (n int, err error) {
	if g.r == nil {
		if g.r, err = gzip.NewReader(g.from); err != nil {
			return 0, err
		}
	}
	return g.r.Read(p)
}

// blanked is a body without the secret. It holds back as many bytes as could be the beginning of one, until it is told more.
type blanked struct {
	source io.Reader
	io.Closer
	echo echo
	keep int // bytes held back while there may be more
	have []byte
	end  error
}

// blankPiece is how much is read at once: the usual error is far shorter.
const blankPiece = 4 << 10

func (b *blanked) Read(p []byte) (int, error) {
	for {
		ready := len(b.have)
		if b.end == nil {
			ready -= b.keep
		}
		if ready > 0 {
			n := copy(p, b.have[:ready])
			b.have = b.have[n:]
			return n, nil
		}
		if b.end != nil {
			return 0, b.end
		}
		piece := make([]byte, blankPiece)
		n, err := b.source.Read(piece)
		b.have, b.end = append(b.have, piece[:n]...), err
		b.echo.blank(b.have)
	}
}
