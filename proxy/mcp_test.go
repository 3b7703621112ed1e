package proxy

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"roamproxy/proxy/roamtest/redistest"
)

// mcpRoam is Roam's MCP server alone, built with Go's SDK.
type mcpRoam struct {
	server *mcp.Server
	open   atomic.Int64 // requests that it answers now
	calls  atomic.Int64
	url    string
}

func newMCPRoam(t *testing.T) *mcpRoam {
	r := &mcpRoam{server: mcp.NewServer(&mcp.Implementation{Name: "roam", Version: "1.0.0"}, &mcp.ServerOptions{
		SetCacheable: func(_ context.Context, _ mcp.Request, c *mcp.Cacheable) { c.TTLMs = 60_000 },
	})}
	type emoji struct {
		Emoji string `json:"emoji"`
	}
	mcp.AddTool(r.server, &mcp.Tool{Name: "reaction_add"}, func(ctx context.Context, call *mcp.CallToolRequest, _ emoji) (*mcp.CallToolResult,
		any, error) {
		if token := call.Params.GetProgressToken(); token != nil {
			for progress := range 2 {
				call.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(progress + 1)})
			}
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "added"}}}, nil, nil
	})
	sessions := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return r.server }, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.calls.Add(1)
		r.open.Add(1)
		defer r.open.Add(-1)
		if req.URL.Path == "/mcp" {
			sessions.ServeHTTP(w, req)
			return
		}
		io.WriteString(w, `{"ok":true}`)
	}))
	t.Cleanup(func() {
		for session := range r.server.Sessions() {
			session.Close()
		}
		server.CloseClientConnections()
		server.Close()
	})
	r.url = server.URL
	return r
}

// change notifies every session that the list of tools has changed.
func (r *mcpRoam) change(name string) {
	r.server.AddTool(&mcp.Tool{Name: name, InputSchema: map[string]any{"type": "object"}},
		func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{}, nil
		})
}

// newHarnessOnSocket returns a proxy that listens on a socket, in front of a Roam with this URL, and the proxy's own URL.
func newHarnessOnSocket(t *testing.T, url string, changes ...func(*setup)) (*harness, string) {
	t.Helper()
	transport := newTransport(t, 10)
	h := newHarness(t, nil, transport, append(changes, unmetered,
		func(p *setup) { p.queue.MaxInFlight = 10; p.proxy.Upstream = mustParse(url) })...)
	server := httptest.NewServer(h)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return h, server.URL
}

// dispatchedNow demands that a bot's call is sent within a second.
func dispatchedNow(t *testing.T, h *harness) {
	t.Helper()
	if w := h.do(t.Context(), "POST", "/v1/chat.post", `{"chat":"C-1"}`, "Prefer", "wait=1", "Roamproxy-Tool", "bot"); w.Code != 200 {
		t.Errorf("beside open streams a bot's call is answered %d %s, want it sent at once", w.Code, w.Body)
	}
}

const sessions = 12 // more than max_in_flight

// Open event streams of agents delay no other tool, and their events arrive immediately, in both versions of MCP.
//
// Seen to fail with streams that hold a slot.
func TestStreamsOfGoAgentsDelayNoCall(t *testing.T) {
	for _, version := range []string{"2025-11-25", "2026-07-28"} {
		t.Run(version, func(t *testing.T) {
			roam := newMCPRoam(t)
			h, base := newHarnessOnSocket(t, roam.url)
			var notified sync.WaitGroup
			notified.Add(sessions)
			var all []*mcp.ClientSession
			for range sessions {
				once := sync.OnceFunc(notified.Done)
				client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1.0.0"}, &mcp.ClientOptions{
					ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { once() },
				})
				session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: base + "/mcp"},
					&mcp.ClientSessionOptions{ProtocolVersion: version})
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, session)
			}
			redistest.Eventually(t, "twelve streams are open", func() bool { return roam.open.Load() == sessions })
			redistest.Eventually(t, "no stream holds a slot", func() bool { return h.queue.State().InFlight == 0 })
			dispatchedNow(t, h)
			roam.change("meeting_search")
			notified.Wait()
			result, err := all[0].CallTool(t.Context(), &mcp.CallToolParams{Name: "reaction_add", Arguments: map[string]any{"emoji": "+1"}})
			if err != nil || result.IsError || result.Content[0].(*mcp.TextContent).Text != "added" {
				t.Errorf("a call: %+v, %v; want added", result, err)
			}
			for _, session := range all {
				session.Close()
			}
			redistest.Eventually(t, "streams end at Roam when their clients leave", func() bool { return roam.open.Load() == 0 })
		})
	}
}

// script is a Node program that runs until its stdin is closed.
type script struct {
	stdin io.WriteCloser
	lines chan string
}

// run starts a script of testdata. It needs the SDK of modelcontextprotocol.io, which .ci/run installs.
func run(t *testing.T, name string, args ...string) *script {
	t.Helper()
	node := redistest.Module(t, "node", "-e", "require('@modelcontextprotocol/sdk/client/index.js')")
	cmd := exec.Command(node, append([]string{"testdata/" + name}, args...)...)
	cmd.Stderr = os.Stderr
	p := &script{lines: make(chan string, 1000)}
	out, err := cmd.StdoutPipe()
	if err == nil {
		p.stdin, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(p.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			p.lines <- in.Text()
		}
	})
	t.Cleanup(func() {
		p.stdin.Close()
		reading.Wait()
		cmd.Wait()
	})
	return p
}

// says returns the next line that begins with want. An error before that fails the test, unless it is wanted.
func (s *script) says(t *testing.T, want string) string {
	t.Helper()
	over := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-s.lines:
			switch {
			case !ok:
				t.Fatalf("it ended, want it to say %q", want)
			case strings.HasPrefix(line, want):
				return line
			case strings.HasPrefix(line, "error"):
				t.Fatalf("it says %q, want %q", line, want)
			}
		case <-over:
			t.Fatalf("it did not say %q within 20 s", want)
		}
	}
}

// The same with the SDK for TypeScript, as the server and as the agents.
func TestStreamsOfNodeAgentsDelayNoCall(t *testing.T) {
	roam := run(t, "mcp-server.js")
	port := roam.says(t, "")
	h, base := newHarnessOnSocket(t, "http://127.0.0.1:"+port)
	agents := run(t, "mcp-client.js", base+"/mcp", "12")
	for range sessions {
		if got := agents.says(t, "called"); got != "called added progress 1,2" {
			t.Errorf("a call: %s, want added with its progress", got)
		}
	}
	agents.says(t, "connected")
	redistest.Eventually(t, "no call holds a slot", func() bool { return h.queue.State().InFlight == 0 })
	dispatchedNow(t, h)
	io.WriteString(roam.stdin, "changed\n")
	for range sessions {
		agents.says(t, "notified")
	}
}

// Node's fetch ends a response whose body is silent for 300 s. The test sets that to two seconds.
//
// Seen to fail without comments: the SDK reports that the stream was terminated.
func TestASilentStreamOutlastsNodesTimeout(t *testing.T) {
	for _, tt := range []struct {
		name      string
		keepAlive time.Duration
		want      string
	}{{"with comments", 500 * time.Millisecond, "notified"}, {"without, to show that the test can fail", time.Hour, "error"}} {
		t.Run(tt.name, func(t *testing.T) {
			roam := newMCPRoam(t)
			_, base := newHarnessOnSocket(t, roam.url, func(p *setup) { p.proxy.KeepAlive = tt.keepAlive })
			agent := run(t, "mcp-client.js", base+"/mcp", "1", "2000")
			agent.says(t, "connected")
			if tt.want == "notified" {
				<-time.After(6 * time.Second) // three times fetch's limit
				roam.change("meeting_search")
			}
			agent.says(t, tt.want)
		})
	}
}
