package paging

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// cursorPrefix begins every cursor of ours. None of Roam's has it.
const cursorPrefix = "rp1."

// place is where a walk through a list stands: so many items after one of Roam's cursors.
type place struct {
	cursor string
	offset int // above 0: otherwise Roam's cursor alone says it
}

// cursorSum is the length of the check sum: enough that no mistake passes.
const cursorSum = 8

// maxOffset is far above any page.
const maxOffset = 1 << 20

// encode makes a cursor for a walk. It holds all that is needed, so that a restart forgets none and any replica can go on from it.
//
// The check sum binds it to its walk: credential, route and the other parameters. It is no secret, and guards against mistakes
// alone. Who makes a cursor up gets what he could have asked Roam for under the same credential.
func (p place) encode(walk string) string {
	raw := make([]byte, cursorSum, cursorSum+binary.MaxVarintLen32+len(p.cursor))
	raw = append(binary.AppendUvarint(raw, uint64(p.offset)), p.cursor...)
	copy(raw, checkSum(raw[cursorSum:], walk))
	return cursorPrefix + base64.RawURLEncoding.EncodeToString(raw)
}

// readPlace reads a cursor of ours that was made for this very walk.
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
	return p, p.encode(walk) == cursor // there is one way to write it
}

func checkSum(raw []byte, walk string) []byte {
	sum := sha256.New()
	sum.Write(binary.AppendUvarint(nil, uint64(len(walk))))
	sum.Write([]byte(walk))
	sum.Write(raw)
	return sum.Sum(nil)[:cursorSum]
}
