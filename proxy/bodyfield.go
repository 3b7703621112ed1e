package proxy

import (
	"encoding/json"
	"io"
	"slices"
)

// maxFieldSearch bounds how much of a body is searched for a field, in bytes. Roam's ids are among the first fields, and a text has at
// most 8,000 bytes.
const maxFieldSearch = 64 << 10

// bodyField returns the text of the first top-level field of a JSON object that has one of these names, and whether there is one. It
// reads at most fieldBound bytes. A list stands for its only element. Anything else, also a body that is not JSON, has no such field.
func bodyField(body io.Reader, names ...string) (value string, ok bool) {
	in := json.NewDecoder(io.LimitReader(body, maxFieldSearch))
	if t, err := in.Token(); err != nil || t != json.Delim('{') {
		return "", false
	}
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return "", false
		}
		wanted := slices.ContainsFunc(names, func(n string) bool { return name == n })
		var field json.RawMessage
		if err := in.Decode(&field); err != nil {
			return "", false
		}
		if !wanted {
			continue
		}
		var list []string
		switch {
		case json.Unmarshal(field, &value) == nil && value != "":
			return value, true
		case json.Unmarshal(field, &list) == nil && len(list) == 1 && list[0] != "":
			return list[0], true
		}
	}
	return "", false
}
