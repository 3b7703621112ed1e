package proxy

import (
	"strings"
	"testing"
)

func TestBodyField(t *testing.T) {
	for _, tt := range []struct {
		name, body, want string
		ok               bool
	}{
		{"v1", `{"chatId":"C-1","text":"hello"}`, "C-1", true},
		{"v0", `{"text":"hello","chat":"C-2"}`, "C-2", true},
		{"a list of one", `{"chat":["C-3"]}`, "C-3", true},
		{"a list of two", `{"chat":["C-3","C-4"]}`, "", false},
		{"in escapes", `{"ch\u0061t":"C\u002d1"}`, "C-1", true},
		{"after an empty one", `{"chat":"","chatId":"C-1"}`, "C-1", true},
		{"after one that is none", `{"chat":7,"chatId":"C-1"}`, "C-1", true},
		{"not at the top", `{"message":{"chatId":"C-1"}}`, "", false},
		{"another spelling", `{"ChatID":"C-1"}`, "", false},
		{"no object", `["chatId","C-1"]`, "", false},
		{"no JSON", `chatId=C-1`, "", false},
		{"cut off", `{"chatId":"C-`, "", false},
		{"nothing", ``, "", false},
		{"behind more than is searched", `{"text":"` + strings.Repeat("x", maxFieldSearch) + `","chatId":"C-1"}`, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := bodyField(strings.NewReader(tt.body), "chat", "chatId")
			if got != tt.want || ok != tt.ok {
				t.Errorf("got %q, %v; want %q, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzBodyField(f *testing.F) {
	f.Add(`{"chatId":"C-1"}`)
	f.Add(`{"a":[1,{"chat":2}],"chat":["C-2"]}`)
	f.Fuzz(func(t *testing.T, body string) {
		if value, ok := bodyField(strings.NewReader(body), "chat"); ok == (value == "") {
			t.Errorf("got %q, %v; want a value if and only if it is ok", value, ok)
		}
	})
}
