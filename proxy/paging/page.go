package paging

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
)

// span is a part of a body: from its first byte up to, but without, the byte at to.
type span struct{ from, to int }

// page is an answer with one page of a list: a JSON object with exactly one array, and nextCursor if the list goes on. It is cut by byte
// positions, so that every item and every other member keeps its bytes.
type page struct {
	body         []byte
	items        []span
	array        span // with its brackets
	next         string
	nextAt       span // of the value of nextCursor; empty when it is absent
	closingBrace int  // where the object's brace is
}

// parsePage returns the page in a body. It reports false if the body has another shape.
func parsePage(body []byte) (p page, ok bool) {
	p.body = body
	in := json.NewDecoder(bytes.NewReader(body))
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return page{}, false
	}
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return page{}, false
		}
		value, at, err := element(in)
		switch {
		case err != nil:
			return page{}, false
		case name == "nextCursor":
			if p.nextAt != (span{}) || !readNext(value, &p.next) {
				return page{}, false
			}
			p.nextAt = at
		case value[0] == '[':
			if p.array != (span{}) {
				return page{}, false
			}
			p.array = at
			if p.items, ok = parseItems(value, at.from); !ok {
				return page{}, false
			}
		}
	}
	if _, err := in.Token(); err != nil || p.array == (span{}) {
		return page{}, false
	}
	p.closingBrace = int(in.InputOffset()) - 1
	if _, err := in.Token(); err != io.EOF {
		return page{}, false
	}
	return p, true
}

// element reads the next value and returns it with its position.
func element(in *json.Decoder) (json.RawMessage, span, error) {
	var value json.RawMessage
	err := in.Decode(&value)
	end := int(in.InputOffset())
	return value, span{end - len(value), end}, err
}

func readNext(value json.RawMessage, next *string) bool {
	return json.Unmarshal(value, next) == nil // null leaves it empty
}

func parseItems(array json.RawMessage, offset int) ([]span, bool) {
	in := json.NewDecoder(bytes.NewReader(array))
	in.Token() // the bracket
	var items []span
	for in.More() {
		_, at, err := element(in)
		if err != nil {
			return nil, false
		}
		items = append(items, span{offset + at.from, offset + at.to})
	}
	return items, true
}

// cut returns a page of the items from up to, but without, to. nextCursor becomes next; if next is "", it stays unchanged.
func (p page) cut(from, to int, next string) []byte {
	out := make([]byte, 0, len(p.body))
	at := 0
	put := func(where span, text []byte) {
		out = append(append(out, p.body[at:where.from]...), text...)
		at = where.to
	}
	array := []byte("[]")
	if from < to {
		array = append(append([]byte("["), p.body[p.items[from].from:p.items[to-1].to]...), ']')
	}
	cursor := strconv.AppendQuote(nil, next) // a cursor has only characters that Go and JSON quote alike
	switch {
	case next == "":
		put(p.array, array)
	case p.nextAt == (span{}):
		put(p.array, array)
		put(span{p.closingBrace, p.closingBrace}, append([]byte(`,"nextCursor":`), cursor...))
	case p.nextAt.from < p.array.from:
		put(p.nextAt, cursor)
		put(p.array, array)
	default:
		put(p.array, array)
		put(p.nextAt, cursor)
	}
	return append(out, p.body[at:]...)
}
