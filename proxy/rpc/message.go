// Package rpc reads the JSON-RPC 2.0 messages that agents post by the Model Context Protocol, and writes answers to them.
package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// MaxBody bounds what Parse is given, in bytes. Messages are far smaller; what is larger carries a file, and is passed through unread.
const MaxBody = 1 << 20

// ToolCall is the method that calls a tool of the server.
const ToolCall = "tools/call"

// PromptGet is the method that asks for a prompt by name.
const PromptGet = "prompts/get"

const resourceRead = "resources/read"

// Message is one JSON-RPC message.
type Message struct {
	ID        json.RawMessage // a string or a number; nil: it wants no answer
	Method    string          // "": it is a response to a request of the server
	Name      string          // of the tool or prompt, or the URI of the resource, that it asks for; "": none
	Arguments json.RawMessage // of the tool or prompt
	Params    json.RawMessage // all of them, as they came; nil: none
}

// Body is what one POST carries: a message, or a batch, which MCP had until 2025-06-18.
type Body struct {
	Messages []Message // at least one
	Batch    bool
}

// ErrUnreadable reports a body that servers could understand in different ways, or not at all.
var ErrUnreadable = errors.New("rpc: the body is no JSON-RPC message, or an ambiguous one")

// Parse reads a body. It takes only what every server reads alike: a name that occurs twice, or that differs from a known one in
// case alone, is an error, for the next reader may choose the other one. Every error is ErrUnreadable.
func Parse(body []byte) (*Body, error) {
	if len(body) > MaxBody || !json.Valid(body) {
		return nil, ErrUnreadable
	}
	if body = bytes.TrimSpace(body); body[0] != '[' {
		m, err := parseMessage(body)
		if err != nil {
			return nil, err
		}
		return &Body{Messages: []Message{m}}, nil
	}
	var all []json.RawMessage
	if json.Unmarshal(body, &all) != nil || len(all) == 0 {
		return nil, ErrUnreadable
	}
	b := &Body{Batch: true}
	for _, one := range all {
		m, err := parseMessage(one)
		if err != nil {
			return nil, err
		}
		b.Messages = append(b.Messages, m)
	}
	return b, nil
}

func parseMessage(data []byte) (m Message, err error) {
	top, err := parseFields(data, "jsonrpc", "id", "method", "params", "result", "error")
	if err != nil {
		return m, err
	}
	if m.ID, err = parseID(top["id"]); err != nil {
		return m, err
	}
	if m.Method, err = parseText(top["method"]); err != nil {
		return m, err
	}
	if m.Method == "" {
		if top["result"] == nil && top["error"] == nil {
			return m, ErrUnreadable
		}
		return m, nil
	}
	m.Params = top["params"]
	if params := m.Params; len(params) > 0 && params[0] == '{' {
		err = m.readParams(params)
	}
	if err == nil && m.Method == ToolCall && m.Name == "" {
		err = ErrUnreadable
	}
	return m, err
}

func (m *Message) readParams(data []byte) error {
	params, err := parseFields(data, "name", "arguments", "uri")
	if err != nil {
		return err
	}
	switch m.Method {
	case ToolCall, PromptGet:
		m.Arguments = params["arguments"]
		m.Name, err = parseText(params["name"])
	case resourceRead:
		m.Name, err = parseText(params["uri"])
	}
	return err
}

// parseFields returns the members of an object. Those that are known must have their exact names, and each at most once.
func parseFields(data []byte, known ...string) (map[string]json.RawMessage, error) {
	in := json.NewDecoder(bytes.NewReader(data))
	if t, err := in.Token(); err != nil || t != json.Delim('{') {
		return nil, ErrUnreadable
	}
	all := make(map[string]json.RawMessage)
	for in.More() {
		t, err := in.Token()
		if err != nil {
			return nil, ErrUnreadable
		}
		name := t.(string)
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return nil, fmt.Errorf("%w: %q", ErrUnreadable, name)
			}
		}
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return nil, ErrUnreadable
		}
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("%w: %q occurs twice", ErrUnreadable, name)
		}
		all[name] = value
	}
	return all, nil
}

// parseID returns an id, and nil where there is none: null is none in MCP.
func parseID(data json.RawMessage) (json.RawMessage, error) {
	switch {
	case len(data) == 0 || string(data) == "null":
		return nil, nil
	case data[0] == '"' || data[0] == '-' || '0' <= data[0] && data[0] <= '9':
		return data, nil
	}
	return nil, ErrUnreadable
}

func parseText(data json.RawMessage) (s string, err error) {
	if len(data) == 0 {
		return "", nil
	}
	if data[0] != '"' || json.Unmarshal(data, &s) != nil {
		return "", ErrUnreadable
	}
	return s, nil
}

// HasName reports whether messages of this method have a Name.
func (m Message) HasName() bool {
	return m.Method == ToolCall || m.Method == PromptGet || m.Method == resourceRead
}

// IsToolCall reports whether the message calls a tool of the server.
func (m Message) IsToolCall() bool { return m.Method == ToolCall }

// IsRequest reports whether the message wants an answer.
func (m Message) IsRequest() bool { return m.Method != "" && m.ID != nil }

// IsSession reports whether the message only keeps a session going: it neither reads nor changes anything of Roam's.
func (m Message) IsSession() bool {
	switch m.Method {
	case "", "initialize", "ping", "server/discover":
		return true
	}
	return strings.HasPrefix(m.Method, "notifications/")
}

// Has reports whether a message has this method.
func (b *Body) Has(method string) bool {
	for _, m := range b.Messages {
		if m.Method == method {
			return true
		}
	}
	return false
}
