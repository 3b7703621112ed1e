package cache

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// isStorable tells whether an answer may be kept (RFC 9111, section 3, and the stricter rules of the package comment). A rule
// never overrides what Roam forbids.
func isStorable(res *http.Response, r Rule, e *Entry, maxBody int64) bool {
	says := parseDirectives(res.Header.Values("Cache-Control"))
	unended := res.ContentLength < 0 && len(res.TransferEncoding) == 0 && res.ProtoMajor == 1 // its end is the connection's: it may be cut off
	switch {
	case !r.Stores(), !isStorableStatus(res.StatusCode, r), unended, isPersonal(res.Header, says),
		len(res.Header["Set-Cookie"]) > 0,
		len(res.Header["Content-Range"]) > 0,
		r.Origin && e.Lifetime == 0 && (e.Status != http.StatusOK || !e.hasValidator()),
		!r.Origin && isPage(res.Header):
		return false
	}
	return e.Status != http.StatusOK || !isFailure(res.Header, e.Body, maxExpansion*maxBody)
}

// isStorableStatus reports whether an answer of this status may be kept: a 200, and where Roam's headers decide also those that RFC 9110,
// section 15.1, names with the ones that concern a whole answer, if their freshness is explicit.
func isStorableStatus(status int, r Rule) bool {
	switch status {
	case http.StatusOK:
		return true
	case http.StatusNonAuthoritativeInfo, http.StatusMovedPermanently, http.StatusFound, http.StatusNotFound, http.StatusGone:
		return r.Origin
	}
	return false
}

// isPage reports whether an answer is a page for people, such as the sign-in page of a network: no method of Roam's has one.
func isPage(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "text/html" || kind == "application/xhtml+xml"
}

// maxExpansion is how many times cache.max_body a compressed answer may have as text: more than text of an API is compressed, and
// little enough that an answer that expands without end costs no more than half a second.
const maxExpansion = 16

// isPersonal tells whether an answer is for the one request alone, so that nobody who asks the same at the same time may have it
// either (RFC 9111, section 4).
func isPersonal(h http.Header, says directives) bool {
	_, all := varyFields(h.Values("Vary"))
	return says.has("no-store") || says.has("private") || all
}

// isFailure reports whether a JSON answer says "ok": false, or cannot be read in order to find out. most bounds the text that is read
// of a compressed answer: what expands to more is no answer of Roam's.
func isFailure(h http.Header, body []byte, most int64) bool {
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
		text = io.LimitReader(unzipped, most)
	default:
		return true
	}
	value, err := okField(text)
	if errors.Is(err, errNoObject) {
		return false
	}
	return err != nil || value != "true" && value != ""
}
