package rediscache

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"time"

	"roamproxy/cache"
)

// formatVersion is the first byte of an encoded entry. An entry with another version was written by another roamproxy, and is ignored.
const formatVersion = 3

// header is an entry without its body. Its times are relative, because the clocks of machines differ.
type header struct {
	Route    string        `json:"route"`
	Status   int           `json:"status"`
	Header   http.Header   `json:"header"`
	Since    time.Duration `json:"since"` // from the answer's arrival to the encoding
	Age      time.Duration `json:"age"`
	Lifetime time.Duration `json:"lifetime"`
	Strict   bool          `json:"strict,omitempty"`
	OwnTag   bool          `json:"own_tag,omitempty"`
}

// encode returns the bytes of an entry: version, length of the header, header, body, and a MAC. The MAC covers all of it and the Redis
// key. So a process that can write to Redis and does not know the secret can neither change an entry nor move it to another key.
func encode(e *cache.Entry, key string, seal []byte, now time.Time) []byte {
	h, err := json.Marshal(header{e.Route, e.Status, e.Header, now.Sub(e.Received), e.Age, e.Lifetime, e.Strict, e.OwnTag})
	if err != nil { // impossible for strings and numbers; decode rejects empty bytes
		return nil
	}
	out := make([]byte, 0, len(h)+len(e.Body)+16+sha256.Size)
	out = append(out, formatVersion)
	out = binary.AppendUvarint(out, uint64(len(h)))
	out = append(append(out, h...), e.Body...)
	return append(out, mac(out, key, seal)...)
}

// mac returns the message authentication code of an entry under its Redis key.
func mac(data []byte, key string, seal []byte) []byte {
	sum := hmac.New(sha256.New, seal)
	sum.Write(binary.AppendUvarint(nil, uint64(len(key))))
	sum.Write([]byte(key))
	sum.Write(data)
	return sum.Sum(nil)
}

// decode returns the entry that a replica wrote the duration ago before now, or nil if it is of another version, forged or damaged.
func decode(data []byte, key string, seal []byte, ago time.Duration, now time.Time) *cache.Entry {
	if len(data) < 1+sha256.Size || data[0] != formatVersion {
		return nil
	}
	data, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if !hmac.Equal(mac(data, key, seal), sum) {
		return nil
	}
	length, n := binary.Uvarint(data[1:])
	if n <= 0 || length > uint64(len(data)-1-n) {
		return nil
	}
	rest := data[1+n:]
	var h header
	strict := json.NewDecoder(bytes.NewReader(rest[:length]))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&h); err != nil || h.Header == nil || h.Status < 200 || h.Status > 499 || h.Since < 0 || h.Age < 0 || ago < 0 {
		return nil
	}
	return &cache.Entry{
		Route: h.Route, Status: h.Status, Header: h.Header, Body: bytes.Clone(rest[length:]), Received: now.Add(-h.Since - ago),
		Age: h.Age, Lifetime: h.Lifetime, Strict: h.Strict, OwnTag: h.OwnTag,
	}
}
