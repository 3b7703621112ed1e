package rpc

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const call = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"meeting_search","arguments":{"query":"x"}}}`
	for _, tt := range []struct{ name, body, want string }{
		{"a call", call, "tools/call meeting_search 7"},
		{"white space", " \n" + call + "\n", "tools/call meeting_search 7"},
		{"escaped letters", strings.Replace(call, "meeting_search", `\u006deeting_search`, 1), "tools/call meeting_search 7"},
		{"an id of letters", `{"id":"a","method":"ping"}`, "ping  \"a\""},
		{"a notification", `{"method":"notifications/initialized"}`, "notifications/initialized  "},
		{"an id of null", `{"id":null,"method":"ping"}`, "ping  "},
		{"a prompt", `{"id":1,"method":"prompts/get","params":{"name":"p"}}`, "prompts/get p 1"},
		{"a resource", `{"id":1,"method":"resources/read","params":{"uri":"u"}}`, "resources/read u 1"},
		{"a list with a name", `{"id":1,"method":"tools/list","params":{"name":"p"}}`, "tools/list  1"},
		{"a response", `{"id":1,"result":{}}`, "  1"},
		{"a batch", "[" + call + `,{"method":"ping"}]`, "tools/call meeting_search 7, ping  "},
		{"nothing", "", ""},
		{"no object", `"tools/call"`, ""},
		{"an empty batch", "[]", ""},
		{"a batch in a batch", "[[" + call + "]]", ""},
		{"two messages without an array", call + call, ""},
		{"half of a message", call[:60], ""},
		{"a byte order mark", "\ufeff" + call, ""},
		{"UTF-16", "{\x00\"\x00", ""},
		{"neither call nor response", `{"id":1}`, ""},
		{"a method twice", strings.Replace(call, `"id":7`, `"method":"ping"`, 1), ""},
		{"a method in capitals", strings.Replace(call, `"id":7`, `"METHOD":"ping"`, 1), ""},
		{"a method that is no text", `{"id":1,"method":["tools/call"]}`, ""},
		{"params twice", strings.Replace(call, `"id":7`, `"params":{"name":"a"}`, 1), ""},
		{"params with a long s", strings.Replace(call, `"id":7`, `"param\u017f":{"name":"a"}`, 1), ""},
		{"a name twice", strings.Replace(call, `"name":`, `"name":"a","name":`, 1), ""},
		{"a name that is no text", `{"id":1,"method":"tools/call","params":{"name":1}}`, ""},
		{"a call without a name", `{"id":1,"method":"tools/call","params":{}}`, ""},
		{"a call by position", `{"id":1,"method":"tools/call","params":["meeting_search"]}`, ""},
		{"an id that is no id", `{"id":{},"method":"ping"}`, ""},
		{"too much", call + strings.Repeat(" ", MaxBody), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := Parse([]byte(tt.body))
			var got []string
			if err == nil {
				for _, m := range b.Messages {
					got = append(got, m.Method+" "+m.Name+" "+string(m.ID))
				}
			} else if !errors.Is(err, ErrUnreadable) {
				t.Errorf("error %v, want ErrUnreadable", err)
			}
			if got := strings.Join(got, ", "); got != tt.want {
				t.Errorf("read as %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

// Whatever is posted: what is read is JSON, and its answer is too.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`[{"id":7,"method":"tools/call","params":{"name":"meeting_search"}}]`))
	f.Add([]byte(`{"id":"a","method":"ping"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := Parse(body)
		if err != nil {
			return
		}
		text, _ := b.Refuse(Error{Code: 429, Message: "m"}, "m")
		for _, answer := range [][]byte{text, b.Fail(Error{Code: 400, Message: "m"})} {
			if len(answer) > 0 && !json.Valid(answer) {
				t.Errorf("%q is answered %q, want JSON", body, answer)
			}
		}
	})
}

func TestIsRead(t *testing.T) {
	for name, want := range map[string]bool{
		"meeting_search": true, "meeting_info": true, "reaction_list": true, "meeting_transcript": true, "meeting_prompt": true,
		"listReactions": true,
		"reaction_add":  false, "chat_post": false, "get_or_create_chat": false, "searchlight_set": false, "": false,
	} {
		t.Run(name, func(t *testing.T) {
			if got := IsRead(name); got != want {
				t.Errorf("reads: %v, want %v", got, want)
			}
		})
	}
}
