package roamtest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// agents serves /mcp. The server is made by the first call, so a simulator without agents starts nothing.
type agents struct {
	once    sync.Once
	handler http.Handler
}

func isMCP(req *http.Request) bool { return req.URL.Path == "/mcp" }

// answerMCP answers one MCP call. The status of a stream is in the journal once its header is sent.
func (r *Roam) answerMCP(w http.ResponseWriter, req *http.Request, entry *Call, readOnly bool) {
	r.agents.once.Do(func() {
		server := r.mcpServer()
		r.agents.handler = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{
			DisableLocalhostProtection: true, // a proxy under test may send any Host
		})
	})
	if readOnly {
		r.fail(w, req, entry, http.StatusForbidden, "missing_scope", "The token lacks a scope that is needed.")
		return
	}
	r.agents.handler.ServeHTTP(&mcpWriter{ResponseWriter: w, wrote: func(status int) { r.status(entry, status) }}, req)
}

// mcpWriter reports the status of an answer that the SDK writes.
type mcpWriter struct {
	http.ResponseWriter
	wrote func(status int)
	once  sync.Once
}

func (w *mcpWriter) WriteHeader(status int) {
	w.once.Do(func() { w.wrote(status) })
	w.ResponseWriter.WriteHeader(status)
}

func (w *mcpWriter) Write(p []byte) (int, error) {
	w.once.Do(func() { w.wrote(http.StatusOK) })
	return w.ResponseWriter.Write(p)
}

// Flush passes events on at once.
func (w *mcpWriter) Flush() { http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap lets http.ResponseController reach the connection.
func (w *mcpWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// mcpArguments are those of every tool; each uses what it needs.
type mcpArguments struct {
	ID        string `json:"id,omitempty"`
	Query     string `json:"query,omitempty"`
	ChatID    string `json:"chatId,omitempty"`
	Timestamp int64  `json:"timestamp,omitempty"`
	Name      string `json:"name,omitempty"`
}

// mcpServer has the tools that Roam's MCP server is known to have. They call the same handlers as the REST methods.
func (r *Roam) mcpServer() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "roam", Version: "1.0.0"}, nil)
	for _, t := range []struct {
		name, description string
		reads             bool
		serve             handler
	}{
		{"meeting_search", "Finds meetings.", true, r.meetingSearch},
		{"meeting_info", "Describes a meeting.", true, r.meetingInfo},
		{"meeting_transcript", "Returns the transcript of a meeting.", true, r.meetingTranscript},
		{"meeting_prompt", "Answers a question about a meeting.", true, r.prompt},
		{"reaction_list", "Lists the reactions to a message.", true, r.reactionList},
		{"reaction_add", "Adds a reaction to a message.", false, r.reactionAdd},
		{"reaction_remove", "Removes a reaction from a message.", false, r.reactionRemove},
	} {
		tool := &mcp.Tool{Name: t.name, Description: t.description, Annotations: &mcp.ToolAnnotations{ReadOnlyHint: t.reads}}
		mcp.AddTool(server, tool, func(ctx context.Context, call *mcp.CallToolRequest, a mcpArguments) (*mcp.CallToolResult, any, error) {
			if strings.HasSuffix(t.name, "_prompt") {
				r.progress(ctx, call)
			}
			return r.callTool(ctx, t.serve, a)
		})
	}
	return server
}

// progress sends two notifications, so that the answer is a stream of events.
func (r *Roam) progress(ctx context.Context, call *mcp.CallToolRequest) {
	token := call.Params.GetProgressToken()
	if token == nil {
		return
	}
	for i := range 2 {
		call.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(i), Total: 2})
	}
}

// callTool calls a REST handler with the arguments as its body.
func (r *Roam) callTool(ctx context.Context, serve handler, a mcpArguments) (*mcp.CallToolResult, any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "/v1/", nil)
	if err != nil {
		return nil, nil, err
	}
	fields := object{"id": a.ID, "query": a.Query, "chatId": a.ChatID, "name": a.Name, "timestamp": float64(a.Timestamp)}
	r.mu.Lock()
	status, body := serve(&request{Request: req, query: req.URL.Query(), fields: fields, v1: true})
	bad, failed := body.(problem)
	_, text := encode(req, body)
	r.mu.Unlock()
	r.deliver()
	if failed {
		return nil, nil, fmt.Errorf("%s (status %d): %s", bad.code, status, bad.sentence)
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: string(text)}}}, nil, nil
}
