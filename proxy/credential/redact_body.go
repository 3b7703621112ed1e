package credential

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// answer redacts everything that a response shows: header, reason phrase, trailer, the text of the errors that reading it
// returns, and the body of every error.
func (r *redactor) answer(res *http.Response) {
	res.Status = r.text(res.Status)
	r.header(res.Header)
	r.header(res.Trailer) // the names; the values come with the end of the body
	if res.Body == nil {
		return
	}
	body := res.Body
	res.Body = &trailed{body, res, r}
	if body == http.NoBody || res.ContentLength == 0 {
		return
	}
	if res.StatusCode/100 != 2 {
		r.errorBody(res)
	} else {
		r.errorWithSuccess(res)
	}
}

// trailed redacts what comes with the end of a body.
type trailed struct {
	io.ReadCloser
	res *http.Response
	r   *redactor
}

func (t *trailed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err == io.EOF {
		t.r.header(t.res.Trailer)
	} else if err != nil {
		err = t.r.error(err)
	}
	return n, err
}

// errorBody redacts the body of an error. A compressed one is handed on in the clear; what cannot be read is withheld, because
// nothing can be found in it.
func (r *redactor) errorBody(res *http.Response) {
	source := bufio.NewReader(res.Body)
	switch coding := strings.ToLower(strings.Join(res.Header["Content-Encoding"], ",")); coding {
	case "", "identity":
		r.clear(res, &sniffed{from: source})
	case "gzip", "x-gzip":
		plain(res)
		r.clear(res, &gunzip{from: source})
	default:
		r.withhold(res)
	}
}

func (r *redactor) clear(res *http.Response, source io.Reader) {
	res.Body = &redactedBody{source: source, Closer: res.Body, r: r}
}

// plain removes what a header says of the compressed body.
func plain(res *http.Response) {
	res.Header.Del("Content-Encoding")
	res.Header.Del("Content-Length")
	res.ContentLength = -1
}

func (r *redactor) withhold(res *http.Response) {
	res.Header.Del("Content-Encoding")
	res.Header.Set("Content-Length", "0")
	res.ContentLength = 0
	res.Body = readCloser{strings.NewReader(""), res.Body}
}

type readCloser struct {
	io.Reader
	io.Closer
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

// errCompressed is the error of an error's body that is compressed and does not say so.
var errCompressed = errors.New("credential: the body of an error is compressed without a Content-Encoding, so that it cannot be searched for the credential")

// sniffed refuses a body that is compressed and does not say so: by the first bytes of gzip, zstd, xz, bzip2 and zlib.
type sniffed struct {
	from   *bufio.Reader
	looked bool
}

func (s *sniffed) Read(p []byte) (int, error) {
	if !s.looked {
		s.looked = true
		start, _ := s.from.Peek(3)
		for _, magic := range []string{"\x1f\x8b", "\x28\xb5\x2f", "\xfd7z", "BZh", "x\x01", "x\x5e", "x\x9c", "x\xda"} {
			if bytes.HasPrefix(start, []byte(magic)) {
				return 0, errCompressed
			}
		}
	}
	return s.from.Read(p)
}

// redactedBody is a body without secrets. It holds back as many bytes as could be the beginning of one, until more has come.
type redactedBody struct {
	source io.Reader
	io.Closer
	r    *redactor
	have []byte
	end  error
}

// redactedPiece is how much is read at once: the usual error is far shorter.
const redactedPiece = 4 << 10

func (b *redactedBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		ready := len(b.have)
		if b.end == nil {
			ready -= b.r.window
		}
		if ready > 0 {
			n := copy(p, b.have[:ready])
			b.have = b.have[n:]
			return n, nil
		}
		if b.end != nil {
			return 0, b.end
		}
		piece := make([]byte, redactedPiece)
		n, err := b.source.Read(piece)
		b.have, b.end = append(b.have, piece[:n]...), err
		if b.end != nil || len(b.have) > b.r.window {
			b.r.redact(b.have, b.end == nil)
		}
	}
}

// smallError bounds the body of an error that comes with status 200. Roam's are a line of JSON.
const smallError = 16 << 10

// errorWithSuccess redacts a small body that is an error although the status says success: {"ok":false} of Roam's, or an
// error of JSON-RPC. It reads the beginning of the body at once, unless that is the beginning of a stream.
func (r *redactor) errorWithSuccess(res *http.Response) {
	kind := strings.ToLower(res.Header.Get("Content-Type"))
	if res.ContentLength > smallError || strings.Contains(kind, "event-stream") || strings.Contains(kind, "ndjson") {
		return
	}
	body := res.Body
	start, end := readStart(body)
	res.Body = readCloser{io.MultiReader(bytes.NewReader(start), &failing{body, end}), body}
	if end == nil {
		return // too large to be an error
	}
	text, zipped := start, false
	switch coding := strings.ToLower(strings.Join(res.Header["Content-Encoding"], ",")); coding {
	case "", "identity":
	case "gzip", "x-gzip":
		zipped = true
		unzipped, err := gzip.NewReader(bytes.NewReader(start))
		if err != nil {
			return
		}
		if text, _ = io.ReadAll(io.LimitReader(unzipped, smallError+1)); len(text) > smallError {
			return
		}
	default:
		return // nothing else was asked for
	}
	if !isError(text) || !r.redact(text, false) {
		return
	}
	if zipped {
		plain(res)
	}
	res.Body = readCloser{io.MultiReader(bytes.NewReader(text), &failing{body, end}), body}
}

// failing repeats the error with which the beginning of a body ended, or reads on.
type failing struct {
	rest io.Reader
	end  error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.end != nil {
		return 0, f.end
	}
	return f.rest.Read(p)
}

// readStart reads a body up to one byte more than an error has, and no further than shows that it is no JSON object. end is nil
// where there may be more.
func readStart(body io.Reader) (start []byte, end error) {
	start = make([]byte, 0, 1<<10)
	for len(start) <= smallError {
		if len(start) == cap(start) {
			start = append(start, 0)[:len(start)]
		}
		n, err := body.Read(start[len(start):min(cap(start), smallError+1)])
		start = start[:len(start)+n]
		if err != nil {
			return start, err
		}
		if text := bytes.TrimLeft(start, " \t\r\n"); len(text) > 0 && text[0] != '{' && text[0] != '\x1f' { // of gzip
			return start, nil
		}
	}
	return start, nil
}

// isError reports whether a body that begins as a JSON object is an error. One that is cut or malformed may be one.
func isError(text []byte) bool {
	var body struct {
		OK    *bool           `json:"ok"`
		Error json.RawMessage `json:"error"`
	}
	if text = bytes.TrimLeft(text, " \t\r\n"); len(text) == 0 || text[0] != '{' {
		return false
	}
	if err := json.Unmarshal(text, &body); err != nil || body.OK != nil {
		return err != nil || !*body.OK
	}
	return len(body.Error) > 0 && string(body.Error) != "null"
}
