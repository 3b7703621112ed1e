package cache

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestOKField(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"true", `{"ok":true}`, "true"},
		{"false, at the end", ` { "a" : [1,{"ok":true},"}"] , "ok" : false } `, "false"},
		{"none", `{"a":1,"okay":true}`, ""},
		{"an empty object", `{}`, ""},
		{"within another member", `{"a":{"ok":false}}`, ""},
		{"within a string", `{"a":"\",\"ok\":false"}`, ""},
		{"its name is escaped", `{"\u006fk":false}`, "false"},
		{"null", `{"ok":null}`, "null"},
		{"a string", `{"ok":"true"}`, `"`},
		{"an object", `{"ok":{"a":[]}}`, "{"},
		{"an array", `[{"ok":false}]`, "no object"},
		{"a string", `"ok"`, "no object"},
		{"nothing", ``, "malformed"},
		{"cut within a string", `{"a":"x`, "malformed"},
		{"cut before the end", `{"a":1`, "malformed"},
		{"no comma", `{"a":1 "b":2}`, "malformed"},
		{"brackets that cross", `{"a":[}],"ok":true}`, "malformed"},
		{"a literal that is none", `{"a":yes}`, "malformed"},
		{"a comma too many", `{"a":1,}`, "malformed"},
		{"a line break in a string", "{\"a\":\"\n\"}", "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.text), iotest.OneByteReader(strings.NewReader(tt.text))} {
				got, err := okField(r)
				switch err {
				case errNoObject:
					got = "no object"
				case errMalformed:
					got = "malformed"
				}
				if got != tt.want {
					t.Errorf("%s: %q (%v), want %q", tt.text, got, err, tt.want)
				}
			}
		})
	}
}

// repeated is a text of any length that takes no memory.
type repeated struct{ left int }

func (r *repeated) Read(p []byte) (int, error) {
	n := min(len(p), r.left)
	for i := range p[:n] {
		p[i] = 'a'
	}
	if r.left -= n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// A string is not held in memory, whatever its length.
//
// Seen to fail with json.Decoder, which holds every string: 224 MB for one of 60.
func TestALongStringIsNotBuffered(t *testing.T) {
	took := testing.AllocsPerRun(1, func() {
		value, err := okField(io.MultiReader(strings.NewReader(`{"x":"`), &repeated{16 << 20}, strings.NewReader(`","ok":true}`)))
		if value != "true" || err != nil {
			t.Errorf("%q, %v; want true", value, err)
		}
	})
	if took > 50 {
		t.Errorf("%v allocations, want a few, whatever the length", took)
	}
}

// FuzzOKField demands that okField finds the same as encoding/json in all valid JSON.
func FuzzOKField(f *testing.F) {
	for _, seed := range []string{`{"ok":true}`, `{"a":[{}],"ok":false}`, `{"a":"\\\"","b":-1.5e3}`, `[]`, `{"ok":{}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := okField(strings.NewReader(string(text)))
		if !json.Valid(text) {
			return
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) != nil {
			return
		}
		want, there := string(members["ok"]), members["ok"] != nil
		if there && strings.Count(string(text), "ok") > 1 || strings.Contains(string(text), `\`) { // a second one, or an escape
			return
		}
		if c := want + " "; c[0] == '"' || c[0] == '{' || c[0] == '[' {
			want = want[:1]
		}
		if err != nil || got != want {
			t.Errorf("%q: %q (%v), want %q", text, got, err, want)
		}
	})
}
