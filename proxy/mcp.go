package proxy

import (
	"net/http"

	"roamproxy/proxy/eventstream"
)

// mcpRoute takes JSON-RPC messages of the Model Context Protocol.
const mcpRoute = eventstream.MCPPath

// mcpSubscribe is the method of MCP (2026-07-28) whose answer is an event stream without end.
const mcpSubscribe = "subscriptions/listen"

// subscribes reports whether a request to Roam is such a call.
func subscribes(req *http.Request) bool {
	c := callOf(req.Context())
	return c != nil && c.subscribes
}

// toolOf returns the tool that a request to Roam is made for; "": none.
func toolOf(req *http.Request) string {
	if c := callOf(req.Context()); c != nil {
		return c.Caller.Tool.Name
	}
	return ""
}
