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

	"roamproxy/proxy/httpbody"
)

// response redacts everything that a response shows: header, reason phrase, trailer, the text of the errors that reading it
// returns, and the body of every error.
func (r *redactor) response(res *http.Response) {
	res.Status = r.text(res.Status)
	r.header(res.Header)
	r.header(res.Trailer) // the names; the values come with the end of the body
	if res.Body == nil || res.Body == http.NoBody {
		return
	}
	res.Body = &trailerBody{res.Body, res, r}
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols: // nobody asked for another protocol, in which anything could follow
		r.withhold(res)
		return
	case res.ContentLength == 0:
		return
	}
	if res.StatusCode/100 != 2 {
		r.errorBody(res)
	} else {
		r.errorIn2xx(res)
	}
}

// trailerBody redacts the trailer, which net/http sets at the end of the body, and the errors of Read.
type trailerBody struct {
	io.ReadCloser
	res *http.Response
	r   *redactor
}

func (t *trailerBody) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err == io.EOF {
		t.r.header(t.res.Trailer)
	} else if err != nil {
		err = t.r.error(err)
	}
	return n, err
}

// errorBody redacts the body of an error. It decompresses gzip. It withholds a body in another encoding, because it cannot search it.
func (r *redactor) errorBody(res *http.Response) {
	source := bufio.NewReader(res.Body)
	switch coding := strings.ToLower(strings.Join(res.Header["Content-Encoding"], ",")); coding {
	case "", "identity":
		r.clear(res, &compressionCheck{from: source})
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

// plain removes the header fields that describe the compressed body.
func plain(res *http.Response) {
	res.Header.Del("Content-Encoding")
	res.Header.Del("Content-Length")
	res.ContentLength = -1
}

func (r *redactor) withhold(res *http.Response) {
	res.Header.Del("Content-Encoding")
	res.Header.Set("Content-Length", "0")
	res.ContentLength = 0
	res.Body = httpbody.Unread(nil, res.Body, io.EOF)
}

// gunzip is a gzip.Reader that reads nothing before the first Read.
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

// errCompressed reports that the body of an error is compressed without a Content-Encoding.
var errCompressed = errors.New("credential: the body of an error is compressed without a Content-Encoding, so that it cannot be " +
	"searched for the credential")

// compressionCheck refuses a body that is compressed without a Content-Encoding. It knows the first bytes of gzip, zstd, xz, bzip2 and
// zlib.
type compressionCheck struct {
	from   *bufio.Reader
	looked bool
}

func (c *compressionCheck) Read(p []byte) (int, error) {
	if !c.looked {
		c.looked = true
		start, _ := c.from.Peek(3)
		for _, magic := range []string{"\x1f\x8b", "\x28\xb5\x2f", "\xfd7z", "BZh", "x\x01", "x\x5e", "x\x9c", "x\xda"} {
			if bytes.HasPrefix(start, []byte(magic)) {
				return 0, errCompressed
			}
		}
	}
	return c.from.Read(p)
}

// redactedBody is a body without secrets. It holds back the bytes that could be the beginning of a secret until more have arrived.
type redactedBody struct {
	source io.Reader
	io.Closer
	r      *redactor
	events bool // an event stream: an event that has ended is handed on at once
	have   []byte
	end    error
}

// redactedPiece is how much is read at once, in bytes: the usual error is far shorter.
const redactedPiece = 4 << 10

func (b *redactedBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		ready := len(b.have)
		if b.end == nil {
			ready = max(ready-b.r.window, b.ended())
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
		ended := b.ended()
		b.r.redact(b.have[:ended], false)
		if b.end != nil || len(b.have) > b.r.window {
			b.r.redact(b.have[ended:], b.end == nil)
		}
	}
}

// ended returns the length of the complete events: an empty line ends each (WHATWG HTML, section 9.2.5).
func (b *redactedBody) ended() int {
	end := 0
	if b.events {
		for _, empty := range []string{"\n\n", "\r\r", "\n\r\n"} {
			if at := bytes.LastIndex(b.have, []byte(empty)); at >= 0 {
				end = max(end, at+len(empty))
			}
		}
	}
	return end
}

const (
	// smallError bounds the body of an error that has status 2xx, in bytes. Roam's are a line of JSON.
	smallError = 16 << 10
	// minInSuccess is the length of the shortest secret that is searched for in a body that may be no error: a shorter one may be a word.
	minInSuccess = 16
)

// errorIn2xx redacts what may be an error in a 2xx response: a small body, and each event of a stream. A body of unknown length is redacted
// only if it begins like an error: {"ok":false} of Roam's, or an error of JSON-RPC. It is held back until that is decided, and no longer.
func (r *redactor) errorIn2xx(res *http.Response) {
	kind := strings.ToLower(res.Header.Get("Content-Type"))
	if res.ContentLength > smallError {
		return
	}
	switch coding := strings.ToLower(strings.Join(res.Header["Content-Encoding"], ",")); coding {
	case "", "identity":
		events := strings.Contains(kind, "event-stream")
		switch {
		case r.shortest < minInSuccess && !events, res.ContentLength < 0 && !events:
			res.Body = &undecidedBody{ReadCloser: res.Body, r: r}
		case r.shortest >= minInSuccess:
			res.Body = &redactedBody{source: res.Body, Closer: res.Body, r: r, events: events}
		}
	case "gzip", "x-gzip":
		if kind == "" || strings.Contains(kind, "json") && !strings.Contains(kind, "ndjson") {
			r.zippedErrorIn2xx(res)
		}
	} // nothing else was asked for
}

// undecidedBody is a body that is redacted if its beginning shows an error.
type undecidedBody struct {
	io.ReadCloser
	r       *redactor
	decided io.Reader
}

func (u *undecidedBody) Read(p []byte) (int, error) {
	if u.decided == nil {
		u.decided = u.decide()
	}
	return u.decided.Read(p)
}

func (u *undecidedBody) decide() io.Reader {
	var start []byte
	piece := make([]byte, 1<<10)
	for {
		n, err := u.ReadCloser.Read(piece)
		start = append(start, piece[:n]...)
		isError, known := isError(start)
		if !known && err == nil && len(start) <= smallError {
			continue
		}
		whole := httpbody.Unread(start, u.ReadCloser, err)
		if isError || !known && err != nil { // one that is cut may be an error
			return &redactedBody{source: whole, r: u.r}
		}
		return whole
	}
}

// zippedErrorIn2xx redacts a compressed body that is an error. It reads the beginning at once, because redacting changes the header.
func (r *redactor) zippedErrorIn2xx(res *http.Response) {
	body := res.Body
	start, err := io.ReadAll(io.LimitReader(body, smallError+1))
	if err == nil && len(start) <= smallError {
		err = io.EOF
	}
	res.Body = httpbody.Unread(start, body, err)
	if err == nil {
		return // too large to be an error
	}
	unzipped, corrupt := gzip.NewReader(bytes.NewReader(start))
	if corrupt != nil {
		return
	}
	text, _ := io.ReadAll(io.LimitReader(unzipped, smallError+1))
	if isError, known := isError(text); (isError || !known) && r.redact(text, false) {
		plain(res)
		res.Body = httpbody.Unread(text, body, err)
	}
}

// isError reports whether a body that begins with text is an error: a JSON object with "ok":false, or with an "error" and without "ok".
// Malformed JSON counts as an error. known is false if more text is needed.
func isError(text []byte) (isError, known bool) {
	if text = bytes.TrimLeft(text, " \t\r\n"); len(text) == 0 || text[0] != '{' {
		return false, len(text) > 0
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.Token() // {
	for {
		name, err := decoder.Token()
		if err != nil {
			return malformed(err)
		}
		if name == json.Delim('}') {
			return isError, true
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return malformed(err)
		}
		switch {
		case name == "ok":
			return string(value) == "false", true
		case name == "error" && string(value) != "null":
			isError = true
		}
	}
}

// malformed is isError for text in which reading ended with err: the text is incomplete, or no JSON.
func malformed(err error) (isError, known bool) {
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	return !ended, !ended
}
