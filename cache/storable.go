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

// isStorable reports whether an answer may be stored (RFC 9111, section 3, and the stricter rules of the package comment). A rule
// never overrides what Roam forbids.
func isStorable(res *http.Response, r Rule, e *Entry, maxBody int64) bool {
	control := parseDirectives(res.Header.Values("Cache-Control"))
	// the end of the connection ends the body, so it may be incomplete
	unended := res.ContentLength < 0 && len(res.TransferEncoding) == 0 && res.ProtoMajor == 1
	switch {
	case !r.Stores(), !isStorableStatus(res.StatusCode, r), unended, isPersonal(res.Header, control),
		len(res.Header["Set-Cookie"]) > 0,
		len(res.Header["Content-Range"]) > 0,
		r.Origin && e.Lifetime == 0 && (e.Status != http.StatusOK || !e.hasValidator()),
		!r.Origin && isPage(res.Header):
		return false
	}
	return e.Status != http.StatusOK || !isFailure(res.Header, e.Body, maxExpansion*maxBody)
}

// isStorableStatus reports whether an answer of this status may be stored. It holds for 200. Where Roam's headers decide, it also
// holds for those statuses of RFC 9110, section 15.1, that concern a complete answer, if their freshness is explicit.
func isStorableStatus(status int, r Rule) bool {
	switch status {
	case http.StatusOK:
		return true
	case http.StatusNonAuthoritativeInfo, http.StatusMovedPermanently, http.StatusFound, http.StatusNotFound, http.StatusGone:
		return r.Origin
	}
	return false
}

// isPage reports whether an answer is a web page, such as the sign-in page of a network. No method of Roam returns one.
func isPage(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "text/html" || kind == "application/xhtml+xml"
}

// maxExpansion is the largest ratio of the decompressed text to cache.max_body. Text of an API compresses less. An answer that
// expands without end costs at most half a second.
const maxExpansion = 16

// isPersonal reports whether an answer is for one request alone, so that no concurrent equal request may share it (RFC 9111, section 4).
func isPersonal(h http.Header, control directives) bool {
	_, all := varyFields(h.Values("Vary"))
	return control.has("no-store") || control.has("private") || all
}

// isFailure reports whether a JSON answer has "ok": false, or cannot be read to find out. most bounds the decompressed text in bytes. An
// answer that expands to more is not from Roam.
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
