package cache

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
)

// maxVaryFields bounds the fields that an answer may vary with. One that varies with more varies with everything.
const maxVaryFields = 16

// varyFields lists the header fields that an answer varies with besides those that every key holds, or says that it varies with
// everything (RFC 9111, section 4.1).
func varyFields(vary []string) (names []string, all bool) {
	for _, value := range vary {
		for name := range strings.SplitSeq(value, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			switch name {
			case "", "Accept", "Accept-Encoding", "Authorization", "Roam-Version", "Origin":
			case "*":
				return nil, true
			default:
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names, len(names) > maxVaryFields
}

// variantKey is the second key of RFC 9111, section 4.1: that of the request's own form of an answer that varies.
func variantKey(k Key, names []string, request http.Header) Key {
	if len(names) == 0 {
		return k
	}
	key := binary.AppendUvarint([]byte(k), uint64(len(names)))
	for _, name := range names {
		key = appendPart(appendPart(key, name), normalized(request[name]))
	}
	return Key(key)
}

// sameVariant tells whether two requests would get the same form.
func sameVariant(names []string, a, b http.Header) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return normalized(a[name]) != normalized(b[name]) })
}

// normalized writes a field in the one way in which its values can be compared: joined, and without the space around them. Whether
// the field is there at all is told apart.
func normalized(values []string) string {
	if values == nil {
		return "-"
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.TrimSpace(v)
	}
	return "+" + strings.Join(trimmed, ", ")
}

// find looks for what is kept for the question, and tells under which key.
func (c *Cache) find(q Lookup) (Key, *Entry) {
	e := c.store.Get(q.Key)
	if e == nil || !e.isVaryIndex() {
		return q.Key, e
	}
	k := variantKey(q.Key, e.Varies, q.Request)
	return k, c.store.Get(k)
}

// storeEntry puts an answer where find looks for it.
func (c *Cache) storeEntry(q Lookup, e *Entry) bool {
	if len(e.Varies) == 0 {
		return c.store.Set(q.Key, e)
	}
	if before := c.store.Get(q.Key); before == nil || !before.isVaryIndex() || !slices.Equal(before.Varies, e.Varies) {
		if !c.store.Set(q.Key, &Entry{Route: q.Route, Varies: e.Varies}) {
			return false
		}
	}
	return c.store.Set(variantKey(q.Key, e.Varies, q.Request), e)
}
