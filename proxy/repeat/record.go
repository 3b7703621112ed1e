package repeat

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
)

// Answer is the answer to the first write, which a repeat gets.
type Answer struct {
	Status int
	Header http.Header // the fields of replayedFields; the caller may change it
	Body   []byte      // must not be changed
}

// State is what is known of a write.
type State string

// The states of a Record.
const (
	Running  State = "running"
	Unknown  State = "unknown"
	Answered State = "answered"
	TooLarge State = "too_large" // answered; the answer is too large to be remembered
)

// Record is what is remembered of one write. It must not be changed.
type Record struct {
	State       State       `json:"state"`
	Fingerprint Digest      `json:"fingerprint"`
	Status      int         `json:"status,omitempty"`
	Header      http.Header `json:"header,omitempty"`
	Body        []byte      `json:"body,omitempty"`
}

// resultFor returns the results of Begin for a repeat. The record is not that of a running write.
func (r *Record) resultFor(w Write) (*Pending, *Answer, error) {
	switch {
	case w.Key != "" && r.Fingerprint != w.Fingerprint:
		return nil, nil, ErrKeyReused
	case r.State == Answered:
		return nil, &Answer{Status: r.Status, Header: maps.Clone(r.Header), Body: r.Body}, nil
	case r.State == TooLarge:
		return nil, nil, &TooLargeError{Status: r.Status}
	}
	return nil, nil, &UnknownError{Status: r.Status}
}

// maxAnswer bounds the body of a remembered answer, in bytes. Roam answers a write with about a hundred.
const maxAnswer = 64 << 10

// maxHeader bounds the header of a remembered answer, in bytes. It is far below the bound of net/http.
const maxHeader = 8 << 10

// replayedFields lists the header fields that describe the answer itself. Other fields belong to a moment (Date, RateLimit), a connection,
// or one client (Set-Cookie).
var replayedFields = []string{
	"Content-Type", "Content-Encoding", "Content-Language", "Content-Location", "Content-Disposition",
	"Location", "Etag", "Last-Modified", "Cache-Control", "Link",
}

// replayable returns the fields of h that are replayed, and whether they are small enough to be remembered.
func replayable(h http.Header) (kept http.Header, ok bool) {
	kept, size := make(http.Header), 0
	for _, name := range replayedFields {
		if values := h[name]; len(values) > 0 {
			kept[name] = slices.Clone(values)
			for _, v := range values {
				size += len(name) + len(v)
			}
		}
	}
	return kept, size <= maxHeader
}

// size estimates the memory that a record takes, in bytes: its content, and 512 for the record and its entries in maps and lists.
func (r *Record) size() int {
	n := 512 + len(r.Body)
	for name, values := range r.Header {
		n += len(name)
		for _, v := range values {
			n += len(v)
		}
	}
	return n
}

// MaxRecord bounds the encoding of a Record, in bytes: a body in base64, a header, and the rest.
const MaxRecord = maxAnswer/3*4 + 2*maxHeader + 1<<10

var errRecord = errors.New("repeat: the record is not one of ours")

// Encode returns the record as a SharedStore keeps it.
func (r *Record) Encode() ([]byte, error) { return json.Marshal(r) }

// Decode reads what Encode wrote. It returns an error for data larger than MaxRecord, or with an unknown state or status.
func Decode(data []byte) (*Record, error) {
	if len(data) > MaxRecord {
		return nil, errRecord
	}
	var r Record
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if d.Decode(&r) != nil || d.More() {
		return nil, errRecord
	}
	final := r.Status >= 200 && r.Status <= 999
	switch {
	case r.State == Running, (r.State == Unknown || r.State == TooLarge) && final:
	case r.State == Answered && final && len(r.Body) <= maxAnswer:
		r.Header, _ = replayable(r.Header)
	default:
		return nil, errRecord
	}
	return &r, nil
}
