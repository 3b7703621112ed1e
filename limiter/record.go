package limiter

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// Kept is what outlives a process.
type Kept struct {
	Level   float64   `json:"level"`                 // calls that could go
	At      time.Time `json:"at"`                    // by the wall clock, which goes on while the machine does not
	Paused  bool      `json:"paused,omitempty"`      // Roam asked for quiet, and no probe has succeeded since
	Until   time.Time `json:"paused_until,omitzero"` // the end of that quiet
	Learned Learned   `json:"learned,omitzero"`      // what is left of the quota for us; its moment by the wall clock

	// By these At is checked on the same run of the machine, should somebody set its clock. A StateFile adds them.
	Boot string        `json:"boot,omitempty"`
	Up   time.Duration `json:"up,omitempty"`
}

// format is the first word of a state file that this version writes. The first one, which knew nothing of what is learned, is
// read as well; any other is not ours to read.
const (
	format      = "roamproxy-state-2"
	formerly    = "roamproxy-state-1"
	formatNames = "roamproxy-state-"
)

// errVersion says that a state file was written by a version that this one does not know.
var errVersion = errors.New("is not of this version")

const (
	stateSize  = 4096 // bounds what is read of a state file
	recordSize = 512  // of ours, which have up to 370 bytes and then spaces
)

// appendState appends k as it is written: the format, a check sum and, up to the size of a record, JSON.
func appendState(b []byte, k Kept) []byte {
	b = append(b, format+" 01234567 "...)
	body := len(b)
	b = k.append(b)
	for len(b) < recordSize-1 {
		b = append(b, ' ')
	}
	var sum [crc32.Size]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE(b[body:]))
	hex.Encode(b[body-len("01234567 "):], sum[:])
	return append(b, '\n')
}

// append appends k as JSON, which every call waits for: encoding/json takes 1.5 µs more. A level that is no number is none of JSON's
// either; such a file reads as damaged, which is what it is.
func (k Kept) append(b []byte) []byte {
	b = strconv.AppendFloat(append(b, `{"level":`...), k.Level, 'g', -1, 64)
	b = appendTime(append(b, `,"at":`...), k.At)
	if k.Paused {
		b = append(b, `,"paused":true`...)
	}
	if !k.Until.IsZero() {
		b = appendTime(append(b, `,"paused_until":`...), k.Until)
	}
	if l := k.Learned; l != (Learned{}) {
		b = strconv.AppendFloat(append(b, `,"learned":{"rate":`...), l.Rate, 'g', -1, 64)
		b = strconv.AppendFloat(append(b, `,"burst":`...), l.Burst, 'g', -1, 64)
		b = strconv.AppendFloat(append(b, `,"left":`...), l.Left, 'g', -1, 64)
		b = append(appendTime(append(b, `,"at":`...), l.At), '}')
	}
	if k.Boot != "" {
		b = strconv.AppendQuote(append(b, `,"boot":`...), k.Boot)
		b = strconv.AppendInt(append(b, `,"up":`...), int64(k.Up), 10)
	}
	return append(b, '}')
}

func appendTime(b []byte, t time.Time) []byte {
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

func decodeState(data []byte) (k Kept, err error) {
	damaged := errors.New("is damaged")
	name, rest, _ := strings.Cut(string(data), " ")
	if name != format && name != formerly {
		if strings.HasPrefix(name, formatNames) {
			return k, errVersion
		}
		return k, damaged
	}
	sum, body, _ := strings.Cut(rest, " ")
	body, ended := strings.CutSuffix(body, "\n")
	want, err := strconv.ParseUint(sum, 16, 32)
	if err != nil || !ended || crc32.ChecksumIEEE([]byte(body)) != uint32(want) {
		return k, damaged
	}
	if err := json.Unmarshal([]byte(body), &k); err != nil || k.Level < 0 || k.At.IsZero() || !k.Learned.sound(k.At) {
		return k, damaged
	}
	return k, nil
}
