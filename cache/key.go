package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
)

// Key names a question under a credential. Two requests that Roam could answer differently have different keys.
type Key string

// NewKey makes the key of a request: the partition, which differs from one secret to another, method, escaped path, query
// (sorted by name, the order of repeats kept), the header fields that choose the answer, and the hash of the body, for a POST that
// reads. The header is that of the request as it is sent to Roam. A HEAD has the key of its GET. Each part is preceded by its length,
// so that no two divisions look alike.
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

// pathAsSent is the path in the bytes that go to Roam. net/url would write one with a letter that wants an escape anew, and an
// escaped slash in it as a plain one. A question mark with nothing behind it stays at the end.
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
	names := make([]string, 0, 8) // more are rare
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

// choosesAnswer reports whether Roam may choose the answer by a header field. The others say who asks, or ask something of a cache; an answer
// that depends on one of them says so in Vary.
func choosesAnswer(name string) bool {
	switch name {
	case "User-Agent", "Traceparent", "Tracestate", "Cache-Control", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since":
		return false
	}
	return !strings.HasPrefix(name, "X-Fern-")
}

func appendPart(key []byte, value string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(value))), value...)
}

// appendQuery writes a appendQuery ordered by the names as Roam reads them, and leaves the text of each part as it is.
func appendQuery(key []byte, raw string) []byte {
	parts := slices.AppendSeq(make([]Parameter, 0, 16), Parameters(raw)) // more are rare
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
