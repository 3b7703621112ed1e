package paging

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// cursorPrefix begins every cursor of roamproxy. Roam's cursors do not begin with it.
const cursorPrefix = "rp1."

// place is a position in a list: offset items after one of Roam's cursors.
type place struct {
	cursor string
	offset int // 0: the position of Roam's cursor itself
}

// cursorSum is the length of the checksum in bytes: enough that no mistake passes.
const cursorSum = 8

// maxOffset bounds an offset. It is far above the size of any page.
const maxOffset = 1 << 20

// encode returns a cursor for a walk through a list. The cursor contains the whole position, so it survives a restart and any replica can
// use it.
//
// The checksum binds the cursor to its walk: credential, route and other parameters. It detects mistakes and is no secret: a forged cursor
// leads only to items that the tool could request under the same credential.
func (p place) encode(walk string) string {
	raw := make([]byte, cursorSum, cursorSum+binary.MaxVarintLen32+len(p.cursor))
	raw = append(binary.AppendUvarint(raw, uint64(p.offset)), p.cursor...)
	copy(raw, checkSum(raw[cursorSum:], walk))
	return cursorPrefix + base64.RawURLEncoding.EncodeToString(raw)
}

// readPlace returns the position in a cursor. It reports false unless encode made the cursor for this walk.
func readPlace(cursor, walk string) (place, bool) {
	encoded, ours := strings.CutPrefix(cursor, cursorPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ours || err != nil || len(raw) <= cursorSum || subtle.ConstantTimeCompare(checkSum(raw[cursorSum:], walk), raw[:cursorSum]) != 1 {
		return place{}, false
	}
	offset, n := binary.Uvarint(raw[cursorSum:])
	if n <= 0 || offset == 0 || offset > maxOffset {
		return place{}, false
	}
	p := place{cursor: string(raw[cursorSum+n:]), offset: int(offset)}
	return p, p.encode(walk) == cursor // only one encoding is valid
}

func checkSum(raw []byte, walk string) []byte {
	sum := sha256.New()
	sum.Write(binary.AppendUvarint(nil, uint64(len(walk))))
	sum.Write([]byte(walk))
	sum.Write(raw)
	return sum.Sum(nil)[:cursorSum]
}
