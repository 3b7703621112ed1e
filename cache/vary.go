package cache

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
)

// maxVaryFields bounds the header fields that an answer may vary with. An answer with more counts as Vary: *.
const maxVaryFields = 16

// varyFields returns the header fields that an answer varies with, except those in every key. all is true for Vary: * (RFC 9111,
// section 4.1).
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

// variantKey returns the secondary key of RFC 9111, section 4.1: that of the variant which this request gets.
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

// sameVariant reports whether two requests get the same variant.
func sameVariant(names []string, a, b http.Header) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return normalized(a[name]) != normalized(b[name]) })
}

// normalized returns a header field in a form that can be compared: the values joined, without space around them. An absent field
// differs from an empty one.
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

// find returns the entry of a request, and the key of its variant.
func (c *Cache) find(q Lookup) (Key, *Entry) {
	e := c.store.Get(q.Key)
	if e == nil || !e.isVaryIndex() {
		return q.Key, e
	}
	k := variantKey(q.Key, e.Varies, q.Request)
	return k, c.store.Get(k)
}

// storeEntry stores an answer where find looks for it.
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
