package repeat

import (
	"crypto/sha256"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"roamproxy/proxy/rpc"
)

// ToolCalls returns the digest of the tools/call messages among those of MCP (JSON-RPC 2.0): of name and arguments in canonical
// form. The id of a repeated message changes, and so may its _meta. Ok is false where there are none. Calls of tools that only read may
// be repeated, and should not be among the messages.
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

// canonical returns JSON without white space, its objects in the order of their names, and each number in one spelling.
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

// maxExact bounds the integers that a float64 tells apart.
const maxExact = 1 << 53

// plainNumbers writes 1.0 and 1e0 as 1. An integer beyond the exact range of a float64 keeps its digits: it may be an id.
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
