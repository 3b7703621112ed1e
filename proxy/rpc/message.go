// Package rpc reads the JSON-RPC 2.0 messages that agents post by the Model Context Protocol, and writes answers to them.
package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// MaxBody bounds the argument of Parse, in bytes. Messages are far smaller; a larger body contains a file, and is passed through unread.
const MaxBody = 1 << 20

// ToolCall is the method that calls a tool of the server.
const ToolCall = "tools/call"

// PromptGet is the method that asks for a prompt by name.
const PromptGet = "prompts/get"

const resourceRead = "resources/read"

// Message is one JSON-RPC message.
type Message struct {
	ID        json.RawMessage // a string or a number; nil: a notification, which has no answer
	Method    string          // "": a response to a request of the server
	Name      string          // name of a tool or prompt, or URI of a resource; "": none
	Arguments json.RawMessage // arguments of the tool or prompt
	Params    json.RawMessage // all parameters, unchanged; nil: none
}

// Body is what one POST carries: a message, or a batch, which MCP had until 2025-06-18.
type Body struct {
	Messages []Message // at least one
	Batch    bool
}

// ErrUnreadable reports a body that servers could read in different ways, or not at all.
var ErrUnreadable = errors.New("rpc: the body is no JSON-RPC message, or an ambiguous one")

// Parse reads a body. It accepts only what every server reads in the same way. A member that occurs twice, or whose name differs from a
// known one only in case, is an error, because another reader may choose the other one. Every error is ErrUnreadable.
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

// parseFields returns the members of an object. No member may occur twice, or differ from a known name only in case.
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

// parseID returns an id, or nil if there is none. In MCP null is none.
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

// IsRequest reports whether the message needs an answer.
func (m Message) IsRequest() bool { return m.Method != "" && m.ID != nil }

// IsSession reports whether the message only keeps a session alive: it neither reads nor changes data of Roam.
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
