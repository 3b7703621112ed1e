package repeat

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxMessage bounds an MCP message that is understood. A larger one is compared byte by byte, and so with its id.
const maxMessage = 1 << 20

// ToolCall returns the digest of the tools/call in an MCP message (JSON-RPC 2.0): of its name and arguments in canonical
// form. The id of a repeated message changes, and so may its _meta. Ok is false for any other message, and for a call of a
// tool that only reads, which may be repeated.
func ToolCall(message io.Reader) (d Digest, ok bool) {
	data, err := io.ReadAll(io.LimitReader(message, maxMessage+1))
	if err != nil || len(data) > maxMessage {
		return d, false
	}
	var one rpc
	if json.Unmarshal(data, &one) == nil {
		return one.digest()
	}
	var batch []rpc // which MCP had until 2025-06-18
	if json.Unmarshal(data, &batch) != nil {
		return d, false
	}
	all := sha256.New()
	for _, one := range batch {
		if d, write := one.digest(); write {
			all.Write(d[:])
			ok = true
		}
	}
	all.Sum(d[:0])
	return d, ok
}

type rpc struct {
	Method string `json:"method"`
	Params struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"params"`
}

func (r *rpc) digest() (d Digest, ok bool) {
	if r.Method != "tools/call" || reads(r.Params.Name) {
		return d, false
	}
	return digest("tools/call %q %s", r.Params.Name, canonical(r.Params.Arguments)), true
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

// exact bounds the integers that a float64 tells apart.
const exact = 1 << 53

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
		case f == math.Trunc(f) && math.Abs(f) < exact:
			return json.Number(strconv.FormatInt(int64(f), 10))
		default:
			return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
		}
	}
	return v
}

// reading lists the words that begin or end the name of an MCP tool that changes nothing, such as meeting_search.
var reading = []string{
	"search", "info", "list", "get", "read", "find", "fetch", "lookup", "resolve", "query", "describe", "history", "transcript", "prompt",
	"export", "count", "show", "view",
}

// reads reports whether an MCP tool only reads, by its name. For one that is named otherwise the repeat is refused: a caller
// can ask again with Roamproxy-Repeat, while a doubled write cannot be undone.
func reads(name string) bool {
	all := words(name)
	if len(all) == 0 || slices.Contains(all, "and") || slices.Contains(all, "or") { // get_or_create
		return false
	}
	return slices.Contains(reading, all[0]) || slices.Contains(reading, all[len(all)-1])
}

// words splits meeting_search, meeting.search, meeting-search and meetingSearch.
func words(name string) []string {
	var spaced strings.Builder
	before := ' '
	for _, c := range name {
		if unicode.IsUpper(c) && unicode.IsLower(before) {
			spaced.WriteRune(' ')
		}
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			c = ' '
		}
		spaced.WriteRune(unicode.ToLower(c))
		before = c
	}
	return strings.Fields(spaced.String())
}
