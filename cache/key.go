package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
)

// Key identifies a request under a credential. Two requests that Roam could answer differently have different keys.
type Key string

// NewKey returns the key of a request. It holds:
//
//   - the partition, which differs from one secret to another
//   - method and escaped path; a HEAD has the key of its GET
//   - the query, sorted by name, with the order of equal names kept
//   - the header fields by which Roam may choose the answer, as they are sent to Roam
//   - the hash of the body, for a POST that reads
//
// Each part is preceded by its length, so that two different requests never give the same bytes.
func NewKey(partition string, r *http.Request, body []byte) Key {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	key := make([]byte, 0, 256)
	key = appendPart(key, partition)
	key = appendPart(key, method)
	key = appendPart(key, pathAsSent(r))
	key = appendQuery(key, r.URL.RawQuery)
	key = appendFields(key, r.Header)
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		key = append(key, sum[:]...)
	}
	return Key(key)
}

// pathAsSent returns the path in the bytes that are sent to Roam. net/url would escape some letters anew, and unescape a slash.
// A question mark without a query stays at the end.
func pathAsSent(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if path == "" {
		path = r.URL.EscapedPath()
	}
	if r.URL.ForceQuery && r.URL.RawQuery == "" {
		path += "?"
	}
	return path
}

func appendFields(key []byte, h http.Header) []byte {
	names := make([]string, 0, 8) // more than these are rare
	for name := range h {
		if choosesAnswer(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	key = binary.AppendUvarint(key, uint64(len(names)))
	for _, name := range names {
		key = appendPart(key, name)
		key = binary.AppendUvarint(key, uint64(len(h[name])))
		for _, v := range h[name] {
			key = appendPart(key, v)
		}
	}
	return key
}

// choosesAnswer reports whether Roam may choose the answer by a header field. Other fields identify the client, or are directives to a
// cache. An answer that depends on one of them names it in Vary.
func choosesAnswer(name string) bool {
	switch name {
	case "User-Agent", "Traceparent", "Tracestate", "Cache-Control", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since",
		"If-Unmodified-Since":
		return false
	}
	return !strings.HasPrefix(name, "X-Fern-")
}

func appendPart(key []byte, value string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(value))), value...)
}

// appendQuery appends a query, ordered by the names as Roam reads them, and leaves the text of each part unchanged.
func appendQuery(key []byte, raw string) []byte {
	parts := slices.AppendSeq(make([]Parameter, 0, 16), Parameters(raw)) // more than these are rare
	slices.SortStableFunc(parts, func(a, b Parameter) int { return strings.Compare(a.Name, b.Name) })
	key = binary.AppendUvarint(key, uint64(len(raw)))
	for i, p := range parts {
		if i > 0 {
			key = append(key, '&')
		}
		key = append(key, p.Raw...)
	}
	return key
}
