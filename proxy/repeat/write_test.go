package repeat

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"roamproxy/proxy/rpc"
)

func TestIdempotencyKeys(t *testing.T) {
	long := strings.Repeat("k", 255)
	for _, tt := range []struct {
		name   string
		fields []string
		want   string // "": none
		bad    bool
	}{
		{"none", nil, "", false},
		{"quoted, as in the draft", []string{`"8e03978e-40d5-43dd-bc93-6894a57f9324"`}, "8e03978e-40d5-43dd-bc93-6894a57f9324", false},
		{"bare, as most clients send it", []string{"8e03978e-40d5-43dd-bc93-6894a57f9324"}, "8e03978e-40d5-43dd-bc93-6894a57f9324", false},
		{"with an escape", []string{`"a\"b\\c"`}, `a"b\c`, false},
		{"with a parameter", []string{`"k";v=1`}, "k", false},
		{"255 bytes", []string{long}, long, false},
		{"255 bytes in quotes", []string{`"` + long + `"`}, long, false},
		{"256 bytes", []string{long + "k"}, "", true},
		{"256 bytes in quotes", []string{`"` + long + `k"`}, "", true},
		{"empty", []string{""}, "", true},
		{"empty quotes", []string{`""`}, "", true},
		{"no closing quote", []string{`"k`}, "", true},
		{"two fields", []string{"a", "b"}, "", true},
		{"a list", []string{`"a", "b"`}, "", true},
		{"a control character", []string{"a\x00"}, "", true},
		{"not ASCII", []string{"schlüssel"}, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseKey(tt.fields)
			if got != tt.want || (err != nil) != tt.bad {
				t.Errorf("ParseKey(%q) = %q, %v, want %q and an error: %v", tt.fields, got, err, tt.want, tt.bad)
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(`"k"`)
	f.Add("k")
	f.Fuzz(func(t *testing.T, field string) {
		key, err := ParseKey([]string{field})
		if (key == "") != (err != nil) || len(key) > maxKey {
			t.Errorf("ParseKey(%q) = %q, %v; want a key within the bound, or an error", field, key, err)
		}
	})
}

const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"reaction_add","arguments":{"emoji":"+1","at":1}}}`

func TestToolCalls(t *testing.T) {
	digest := func(message string) (Digest, bool) {
		body, err := rpc.Parse([]byte(message))
		if err != nil {
			t.Fatal(err)
		}
		return ToolCalls(body.Messages)
	}
	first, ok := digest(call)
	if !ok {
		t.Fatal("reaction_add does not count as a write, want it to")
	}
	for _, tt := range []struct {
		name, message string
		write, same   bool
	}{
		{"another id", strings.Replace(call, `"id":1`, `"id":"b"`, 1), true, true},
		{"another progress token", strings.Replace(call, `"params":{`, `"params":{"_meta":{"progressToken":7},`, 1), true, true},
		{"other white space and order", `{"params": {"arguments": {"at": 1.0, "emoji": "+1"}, "name": "reaction_add"}, "method": "tools/call"}`,
			true, true},
		{"escaped letters", strings.Replace(call, `"+1"`, `"\u002b1"`, 1), true, true},
		{"other arguments", strings.Replace(call, `"+1"`, `"-1"`, 1), true, false},
		{"another tool", strings.Replace(call, "reaction_add", "reaction_remove", 1), true, false},
		{"another method", strings.Replace(call, "tools/call", "tools/list", 1), false, false},
		{"an answer", `{"jsonrpc":"2.0","id":1,"result":{}}`, false, false},
		{"a batch of two", "[" + call + "," + call + "]", true, false},
		{"a batch without a write", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, write := digest(tt.message)
			if write != tt.write || (d == first) != tt.same {
				t.Errorf("a write: %v, the same: %v, want %v and %v", write, d == first, tt.write, tt.same)
			}
		})
	}
}

func TestLargeNumbersAreNotRounded(t *testing.T) {
	a := canonical(json.RawMessage(`{"chat":9007199254740993,"x":[1e0,2.50,1e400]}`))
	if want := `{"chat":9007199254740993,"x":[1,2.5,1e400]}`; string(a) != want {
		t.Errorf("canonical form %s, want %s", a, want)
	}
}

// What is in canonical form stays as it is, and no input makes it many times as large.
func FuzzCanonical(f *testing.F) {
	f.Add([]byte(call))
	f.Add([]byte(`[1e308,-0.0,{"b":1,"a":null}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		once := canonical(data)
		if twice := canonical(once); !bytes.Equal(once, twice) {
			t.Errorf("%q becomes %q and then %q, want the same again", data, once, twice)
		}
		if len(once) > 8*len(data)+64 {
			t.Errorf("%d bytes become %d, want at most 8 times as many", len(data), len(once))
		}
	})
}

func FuzzDecode(f *testing.F) {
	good, _ := (&Record{State: Answered, Status: 200, Body: []byte("ok")}).Encode()
	f.Add(good)
	f.Add([]byte(`{"state":"unknown","status":502,"fingerprint":"00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Decode(data)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(again); err != nil && len(again) <= MaxRecord {
			t.Errorf("%q is read, and %q is not: %v; want both", data, again, err)
		}
	})
}

func TestTheLargestRecordIsRead(t *testing.T) {
	r := &Record{State: Answered, Status: 200, Body: make([]byte, maxAnswer),
		Header: map[string][]string{"Link": {strings.Repeat(`"`, maxHeader-4)}}}
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil || len(got.Body) != maxAnswer || len(got.Header["Link"][0]) != maxHeader-4 {
		t.Errorf("a record of %d bytes (at most %d) is not read: %v, want it unchanged", len(data), MaxRecord, err)
	}
}
