package cache

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// ownTag is the prefix of every entity tag that the cache computes.
const ownTag = `"rp-`

// Tag returns a strong entity tag of a body. It depends on the bytes alone, so it survives a restart.
func Tag(body []byte) string {
	sum := sha256.Sum256(body)
	return ownTag + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// IsNotModified reports whether the tool has this answer already, so that it gets a 304 (RFC 9110, section 13.2.2, and RFC 9111,
// section 4.3.2).
func (a *Answer) IsNotModified(request http.Header) bool {
	if a.Status != http.StatusOK || a.Stream != nil {
		return false
	}
	if tags, ok := request["If-None-Match"]; ok {
		return matches(tags, a.Header.Get("Etag"))
	}
	if request["If-Modified-Since"] == nil {
		return false
	}
	since, err := http.ParseTime(request.Get("If-Modified-Since"))
	if err != nil {
		return false
	}
	modified, err := http.ParseTime(a.Header.Get("Last-Modified"))
	return err == nil && !modified.After(since)
}

// matches compares entity tags weakly (RFC 9110, section 8.8.3.2).
func matches(tags []string, tag string) bool {
	tag = strings.TrimPrefix(tag, "W/")
	for _, list := range tags {
		for list != "" {
			list = strings.TrimLeft(list, " \t,")
			if strings.HasPrefix(list, "*") {
				return true
			}
			list = strings.TrimPrefix(list, "W/")
			if !strings.HasPrefix(list, `"`) {
				break // malformed from here on
			}
			end := strings.IndexByte(list[1:], '"')
			if end < 0 {
				break
			}
			if tag != "" && list[:end+2] == tag {
				return true
			}
			list = list[end+2:]
		}
	}
	return false
}

// IsOfNotModified reports whether a 304 has the field, too (RFC 9110, section 15.4.5).
func IsOfNotModified(name string) bool {
	switch name {
	case "Cache-Control", "Content-Location", "Date", "Etag", "Expires", "Vary", "Last-Modified":
		return true
	}
	return false
}

// RemoveOwnTags removes the cache's own entity tags from a request that is passed through. A range that depends on one is removed too,
// because Roam cannot tell whether the tag is still valid.
func RemoveOwnTags(h http.Header) {
	if strings.Contains(h.Get("If-Range"), ownTag) {
		h.Del("If-Range")
		h.Del("Range")
	}
	for _, value := range h["If-None-Match"] {
		if strings.Contains(value, ownTag) {
			h.Del("If-None-Match")
			return
		}
	}
}

// hasValidator reports whether Roam gave the entry a validator: an entity tag or a date.
func (e *Entry) hasValidator() bool {
	return !e.OwnTag && e.Header["Etag"] != nil || e.Header["Last-Modified"] != nil
}

// conditions returns the fields by which Roam can answer 304 (RFC 9111, section 4.3.1); nil for none.
func (e *Entry) conditions() http.Header {
	if e == nil || e.Status != http.StatusOK || !e.hasValidator() {
		return nil
	}
	h := make(http.Header)
	if !e.OwnTag && e.Header["Etag"] != nil {
		h.Set("If-None-Match", e.Header.Get("Etag"))
	}
	if e.Header["Last-Modified"] != nil {
		h.Set("If-Modified-Since", e.Header.Get("Last-Modified"))
	}
	return h
}

// revalidated returns the entry after a 304, with the header fields of the 304 where it has them (RFC 9111, sections 3.2 and 4.3.4).
// It returns nil when the 304 is about another representation.
func (e *Entry) revalidated(res *http.Response, sent, received time.Time) *Entry {
	for _, name := range []string{"Etag", "Last-Modified"} {
		if name == "Etag" && e.OwnTag {
			continue
		}
		now, before := strings.TrimPrefix(res.Header.Get(name), "W/"), strings.TrimPrefix(e.Header.Get(name), "W/")
		if now != "" && now != before {
			return nil
		}
	}
	h := e.Header.Clone()
	if e.OwnTag {
		h.Del("Etag")
	}
	delete(h, "Date") // so that a 304 without Date does not keep the old one
	for name, values := range res.Header {
		switch name {
		case "Content-Length", "Content-Encoding", "Content-Type", "Content-Range":
		default:
			h[name] = values
		}
	}
	return newEntry(e.Route, e.Status, h, e.Body, sent, received)
}
