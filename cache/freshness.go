package cache

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// directives are those of a Cache-Control field, names in lower case (RFC 9111, section 5.2).
type directives map[string]string

func parseDirectives(values []string) directives {
	if len(values) == 0 {
		return nil
	}
	d := make(directives)
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			name, argument, _ := strings.Cut(strings.TrimSpace(part), "=")
			name = strings.ToLower(strings.TrimSpace(name))
			if _, twice := d[name]; name != "" && !twice {
				d[name] = strings.Trim(strings.TrimSpace(argument), `"`)
			}
		}
	}
	return d
}

func (d directives) has(name string) bool { _, ok := d[name]; return ok }

// seconds reads a delta (RFC 9111, section 1.2.2). One that cannot be read counts as zero: stale, to be safe.
func (d directives) seconds(name string) (time.Duration, bool) {
	value, ok := d[name]
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, true
	}
	return time.Duration(n) * time.Second, true
}

// lifetime is how long Roam's headers say that the answer is fresh (RFC 9111, section 4.2.1).
func lifetime(h http.Header, says directives) time.Duration {
	if says.has("no-cache") {
		return 0
	}
	for _, name := range []string{"s-maxage", "max-age"} {
		if d, ok := says.seconds(name); ok {
			return d
		}
	}
	expires, err := http.ParseTime(h.Get("Expires"))
	date, err2 := http.ParseTime(h.Get("Date"))
	if err != nil || err2 != nil {
		return 0
	}
	return max(expires.Sub(date), 0)
}

// storable tells whether an answer may be kept. A rule never overrides what Roam forbids.
func storable(res *http.Response, q Question, body []byte) bool {
	says := parseDirectives(res.Header.Values("Cache-Control"))
	unended := res.ContentLength < 0 && len(res.TransferEncoding) == 0 && res.ProtoMajor == 1 // its end is the connection's: it may be cut off
	switch {
	case res.StatusCode != http.StatusOK,
		res.ContentLength >= 0 && res.ContentLength != int64(len(body)),
		unended,
		says.has("no-store"), says.has("private"),
		len(res.Header["Set-Cookie"]) > 0,
		len(res.Header["Content-Range"]) > 0,
		!keyed(res.Header.Values("Vary")),
		q.Rule.Origin && lifetime(res.Header, says) == 0:
		return false
	}
	return !failed(res.Header, body)
}

// keyed tells whether the key holds all that the answer varies with (RFC 9111, section 4.1).
func keyed(vary []string) bool {
	for _, value := range vary {
		for name := range strings.SplitSeq(value, ",") {
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "", "accept", "accept-encoding", "authorization", "roam-version", "origin":
			default:
				return false
			}
		}
	}
	return true
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
