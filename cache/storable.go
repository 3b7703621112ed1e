package cache

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// storable tells whether an answer may be kept (RFC 9111, section 3, and the stricter rules of the package comment). A rule
// never overrides what Roam forbids.
func storable(res *http.Response, r Rule, e *Entry) bool {
	says := parseDirectives(res.Header.Values("Cache-Control"))
	unended := res.ContentLength < 0 && len(res.TransferEncoding) == 0 && res.ProtoMajor == 1 // its end is the connection's: it may be cut off
	switch {
	case res.StatusCode != http.StatusOK, unended, personal(res.Header, says),
		len(res.Header["Set-Cookie"]) > 0,
		len(res.Header["Content-Range"]) > 0,
		r.Origin && e.Lifetime == 0 && !e.validated():
		return false
	}
	return !failed(res.Header, e.Body)
}

// personal tells whether an answer is for the one request alone, so that nobody who asks the same at the same time may have it
// either (RFC 9111, section 4).
func personal(h http.Header, says directives) bool {
	_, all := nominated(h.Values("Vary"))
	return says.has("no-store") || says.has("private") || all
}

// failed tells whether a JSON answer says "ok": false, or cannot be read in order to find out.
func failed(h http.Header, body []byte) bool {
	if !strings.Contains(h.Get("Content-Type"), "json") {
		return false
	}
	var text io.Reader = bytes.NewReader(body)
	switch strings.ToLower(h.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip":
		unzipped, err := gzip.NewReader(text)
		if err != nil {
			return true
		}
		text = io.LimitReader(unzipped, 64<<20) // beyond any list of Roam's, so that a small answer cannot keep us busy
	default:
		return true
	}
	in := json.NewDecoder(text)
	if start, err := in.Token(); err != nil {
		return true
	} else if start != json.Delim('{') {
		return false
	}
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return true
		}
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return true
		}
		if name == "ok" {
			return string(value) != "true"
		}
	}
	return false
}
