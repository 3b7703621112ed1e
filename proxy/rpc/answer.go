package rpc

import "encoding/json"

// HeaderMismatch is the error code of a request whose header contradicts its body (MCP 2026-07-28).
const HeaderMismatch = -32020

// Error is a JSON-RPC error.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

type response struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  *toolResult     `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

// toolResult is the result of a tool that failed. A model reads its text.
type toolResult struct {
	Type    string    `json:"resultType"`
	Content []content `json:"content"`
	IsError bool      `json:"isError"`
}

type content struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Fail returns an answer with an error for every request of the body. If no message is a request, the error has the id null.
func (b *Body) Fail(e Error) []byte {
	if text := b.answer(func(Message) response { return response{Error: &e} }); text != nil {
		return text
	}
	text, _ := json.Marshal(response{Version: "2.0", Error: &e}) // whose data its caller can encode
	return append(text, '\n')
}

// Refuse returns an answer with a result for every tool call, which a model reads, and with an error for every other request. readable
// reports whether there is such a result. text is nil if no message is a request.
func (b *Body) Refuse(e Error, model string) (text []byte, readable bool) {
	text = b.answer(func(m Message) response {
		if !m.IsToolCall() {
			return response{Error: &e}
		}
		readable = true
		return response{Result: &toolResult{Type: "complete", Content: []content{{"text", model}}, IsError: true}}
	})
	return text, readable
}

func (b *Body) answer(one func(Message) response) []byte {
	var all []response
	for _, m := range b.Messages {
		if m.IsRequest() {
			r := one(m)
			r.Version, r.ID = "2.0", m.ID
			all = append(all, r)
		}
	}
	var text []byte
	switch {
	case len(all) == 0:
		return nil
	case b.Batch:
		text, _ = json.Marshal(all)
	default:
		text, _ = json.Marshal(all[0])
	}
	return append(text, '\n')
}
