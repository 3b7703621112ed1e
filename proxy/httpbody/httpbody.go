// Package httpbody has what several steps of a chain of http.RoundTrippers do with the body of a request or a response.
package httpbody

import (
	"bytes"
	"io"
	"net/http"
)

// Close closes the body of a request that a step does not pass on, as http.RoundTripper requires. The body may be nil.
func Close(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// Unread returns a body that begins with start, the bytes that a step has read, and goes on with rest. err is the error with which
// the step stopped reading; nil: it read as much as it wanted. Closing the body closes rest.
func Unread(start []byte, rest io.ReadCloser, err error) io.ReadCloser {
	return &unread{Reader: io.MultiReader(bytes.NewReader(start), &tail{rest, err}), Closer: rest}
}

type unread struct {
	io.Reader
	io.Closer
}

// tail reads what follows the start: the error, or the rest.
type tail struct {
	rest io.Reader
	err  error
}

func (t *tail) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	return t.rest.Read(p)
}
