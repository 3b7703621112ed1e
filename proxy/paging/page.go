package paging

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
)

// span is where something is in a body.
type span struct{ from, to int }

// page is an answer that is one page of a list: a JSON object with exactly one array, and besides it nextCursor, which says
// where the list goes on. It is cut by position, so that every item and every other member keeps its bytes.
type page struct {
	body         []byte
	items        []span
	array        span // with its brackets
	next         string
	nextAt       span // of the value of nextCursor; empty when it is absent
	closingBrace int  // where the object's brace is
}

// parsePage reads a page. What is not of this shape is none.
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

// element reads the next value and returns it with its place.
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

// cut makes a page of some of the items. Where next is empty, nextCursor stays as it is.
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
	cursor := strconv.AppendQuote(nil, next) // of letters that JSON writes as Go does
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
