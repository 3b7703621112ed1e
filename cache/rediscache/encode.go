package rediscache

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"net/http"
	"time"

	"roamproxy/cache"
)

// encoded is the first byte of an entry as replicas exchange it. Another one is of another version, and not ours to read.
const encoded = 1

// header is all of an entry but its body, with its times as they can be told to another machine: relative.
type header struct {
	Route    string        `json:"route"`
	Header   http.Header   `json:"header"`
	Since    time.Duration `json:"since"` // from the answer to this moment
	Age      time.Duration `json:"age"`
	Lifetime time.Duration `json:"lifetime"`
	Strict   bool          `json:"strict,omitempty"`
	OwnTag   bool          `json:"own_tag,omitempty"`
}

// encode writes an entry: the version, the length of the header, the header, the body, and a check sum over all of it.
func encode(e *cache.Entry, now time.Time) []byte {
	h, err := json.Marshal(header{e.Route, e.Header, now.Sub(e.Received), e.Age, e.Lifetime, e.Strict, e.OwnTag})
	if err != nil { // cannot be, of strings and numbers; what is empty reads as damaged
		return nil
	}
	out := make([]byte, 0, len(h)+len(e.Body)+16)
	out = append(out, encoded)
	out = binary.AppendUvarint(out, uint64(len(h)))
	out = append(append(out, h...), e.Body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
}

// decode reads what another replica wrote so long ago, or nothing when that is foreign or damaged.
func decode(data []byte, ago time.Duration, now time.Time) *cache.Entry {
	if len(data) < 5 || data[0] != encoded {
		return nil
	}
	data, sum := data[:len(data)-4], binary.BigEndian.Uint32(data[len(data)-4:])
	length, n := binary.Uvarint(data[1:])
	if n <= 0 || crc32.ChecksumIEEE(data) != sum || length > uint64(len(data)-1-n) {
		return nil
	}
	rest := data[1+n:]
	var h header
	strict := json.NewDecoder(bytes.NewReader(rest[:length]))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&h); err != nil || h.Header == nil || h.Since < 0 || h.Age < 0 || ago < 0 {
		return nil
	}
	return &cache.Entry{
		Route: h.Route, Header: h.Header, Body: bytes.Clone(rest[length:]), Received: now.Add(-h.Since - ago),
		Age: h.Age, Lifetime: h.Lifetime, Strict: h.Strict, OwnTag: h.OwnTag,
	}
}
