package repeat

import (
	"crypto/sha256"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"roamproxy/proxy/rpc"
)

// ToolCalls returns a digest of the tools/call messages: of their names, and their arguments in canonical form. It leaves out id and _meta,
// which change when a client repeats a message. ok is false if there are no such messages. The caller leaves out calls of tools that only
// read, because those may be repeated.
func ToolCalls(messages []rpc.Message) (d Digest, ok bool) {
	all := sha256.New()
	for _, m := range messages {
		if m.IsToolCall() {
			d := digest("tools/call %q %s", m.Name, canonical(m.Arguments))
			all.Write(d[:])
			ok = true
		}
	}
	all.Sum(d[:0])
	return d, ok
}

// canonical returns JSON without white space, with sorted members, and with one spelling for each number.
func canonical(data json.RawMessage) []byte {
	var v any
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return data
	}
	out, err := json.Marshal(plainNumbers(v))
	if err != nil {
		return data
	}
	return out
}

// maxExact bounds the integers that a float64 represents exactly.
const maxExact = 1 << 53

// plainNumbers replaces 1.0 and 1e0 by 1. An integer beyond the exact range of a float64 keeps its digits: it may be an id.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = plainNumbers(v[name])
		}
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			return v
		}
		f, err := v.Float64()
		switch {
		case err != nil:
		case f == math.Trunc(f) && math.Abs(f) < maxExact:
			return json.Number(strconv.FormatInt(int64(f), 10))
		default:
			return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
		}
	}
	return v
}
