package cache

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// ownTag begins every entity tag that is ours and not Roam's.
const ownTag = `"rp-`

// Tag is a strong entity tag for a body: equal for equal bytes, whoever asks and whenever, so that it outlives a restart.
func Tag(body []byte) string {
	sum := sha256.Sum256(body)
	return ownTag + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// Unchanged tells whether the tool has this answer already: whether it is to be answered 304 (RFC 9110, section 13.2.2, and RFC
// 9111, section 4.3.2).
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

// matches compares weakly (RFC 9110, section 8.8.3.2).
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
				break // malformed, from here on
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

// Unchanging are the header fields of a 304 (RFC 9110, section 15.4.5), and what is ours to tell.
func NotModifiedHeader(h http.Header) http.Header {
	kept := make(http.Header)
	for _, name := range []string{"Cache-Control", "Content-Location", "Date", "Etag", "Expires", "Vary", "Last-Modified"} {
		if values, ok := h[name]; ok {
			kept[name] = values
		}
	}
	return kept
}

// Foreign takes our own entity tags out of a request that goes to Roam as it is. A range that depends on one asks for the whole,
// because Roam cannot know whether it is still true.
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

// hasValidator tells whether Roam gave the entry something to ask by whether it is still true.
func (e *Entry) hasValidator() bool {
	return !e.OwnTag && e.Header["Etag"] != nil || e.Header["Last-Modified"] != nil
}

// conditions ask whether the entry is still true (RFC 9111, section 4.3.1).
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

// revalidated is the entry after Roam said 304: its header fields are those of the 304, where that has them (RFC 9111, sections
// 3.2 and 4.3.4). It is nil when the 304 is about something else than the entry.
func (e *Entry) revalidated(res *http.Response, sent, received time.Time) *Entry {
	for _, name := range []string{"Etag", "Last-Modified"} {
		if told := res.Header.Get(name); told != "" && !(name == "Etag" && e.OwnTag) && strings.TrimPrefix(told, "W/") != strings.TrimPrefix(e.Header.Get(name), "W/") {
			return nil
		}
	}
	h := e.Header.Clone()
	if e.OwnTag {
		h.Del("Etag")
	}
	delete(h, "Date") // or the old one would stay where the new one is absent
	for name, values := range res.Header {
		switch name {
		case "Content-Length", "Content-Encoding", "Content-Type", "Content-Range":
		default:
			h[name] = values
		}
	}
	return newEntry(e.Route, e.Status, h, e.Body, sent, received)
}
