package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	searchCall = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"meeting_search","arguments":{"query":"x"}}}`
	listCall   = `{"jsonrpc":"2.0","id":"b","method":"tools/list"}`
	initNotice = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

// A refused JSON-RPC message is answered in a form that the model of an agent can read.
//
// Seen to fail with 429 and an error in Roam's form for each message.
func TestRefusedMessagesAreAnsweredInJSONRPC(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		status     int
		want       string // of the body, in which SECONDS is replaced by Retry-After
	}{
		{"a call of a tool", searchCall, 200,
			`{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[{"type":"text","text":"not sent; try again in SECONDS s. `},
		{"another request", listCall, 429, `{"jsonrpc":"2.0","id":"b","error":{"code":429,"message":"`},
		{"a notification", initNotice, 429, ""},
		{"a call that wants no answer", strings.Replace(searchCall, `"id":7,`, "", 1), 429, ""},
		{"a response", `{"jsonrpc":"2.0","id":1,"result":{}}`, 429, ""},
		{"a batch with a call", "[" + initNotice + "," + listCall + "," + searchCall + "]", 200,
			`[{"jsonrpc":"2.0","id":"b","error":{"code":429,`},
		{"a batch without one", "[" + listCall + "]", 429, `[{"jsonrpc":"2.0","id":"b","error":{"code":429,`},
		{"what is no message", "tools/call", 429, `{"error":"ratelimited",`},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			h := newHarness(t, nil, &recordingUpstream{}, func(p *setup) { p.rate, p.burst = 0.1, 1 })
			h.post(t.Context())
			w := h.do(t.Context(), "POST", "/mcp", tt.body, "Prefer", "wait=1", "Content-Type", "application/json")
			again := w.Header().Get("Retry-After")
			if seconds, _ := strconv.Atoi(again); seconds < 8 || w.Header().Get("Roamproxy-Error") != "wait_too_long" {
				t.Errorf("header %v, want Retry-After of 8 s or more, and the code", w.Header())
			}
			want := strings.ReplaceAll(tt.want, "SECONDS", again)
			if w.Code != tt.status || !strings.HasPrefix(w.Body.String(), want) || (want == "") != (w.Body.Len() == 0) {
				t.Errorf("answered %d %s, want %d %s", w.Code, w.Body, tt.status, want)
			}
			if strings.Contains(want, `"error":{`) && !strings.Contains(w.Body.String(), `"retryAfterSeconds":`+again) {
				t.Errorf("got %s, want retryAfterSeconds in it", w.Body)
			}
			if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
				t.Errorf("got %s, want JSON", w.Body)
			}
			if got := h.last(); got.Code != "wait_too_long" || got.Status != tt.status {
				t.Errorf("reported as %d %s, want %d wait_too_long", got.Status, got.Code, tt.status)
			}
		})
	}
}

// A tool with too many requests in progress is refused before its messages are read, in the same form.
func TestMessagesRefusedUnreadAreAnsweredInJSONRPC(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		status     int
	}{
		{"a call", searchCall, 200},
		{"a call of 64 KiB", strings.Replace(searchCall, `"x"`, `"`+strings.Repeat("x", maxRefusedBody)+`"`, 1), 429},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			release := make(chan struct{})
			e := &recordingUpstream{answer: func(req *http.Request) (*http.Response, error) { <-release; return reply(req, 200, "{}"), nil }}
			h := newHarness(t, nil, e, unmetered, func(p *setup) { p.proxy.MaxCalls = 1 })
			done := make(chan int)
			go func() { done <- h.post(t.Context()) }()
			synctest.Wait()
			if w := h.do(t.Context(), "POST", "/mcp", tt.body); w.Code != tt.status || w.Header().Get("Roamproxy-Error") != "queue_full" {
				t.Errorf("answered %d %s %v, want %d", w.Code, w.Body, w.Header(), tt.status)
			}
			close(release)
			<-done
		})
	}
}

// An agent of Go's SDK continues its session after a refusal, which its model can read.
func TestAnAgentReadsARefusal(t *testing.T) {
	roam := newMCPRoam(t)
	h, base := newHarnessOnSocket(t, roam.url)
	session := connect(t, base)
	h.queue.Pause(time.Minute)
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "reaction_add", Arguments: map[string]any{"emoji": "+1"}})
	if err != nil || !result.IsError || !strings.Contains(result.Content[0].(*mcp.TextContent).Text, "not sent; try again in ") {
		t.Fatalf("the model reads %+v, %v; want when to try again", result, err)
	}
	if _, err := session.ListTools(t.Context(), nil); err == nil {
		t.Error("a list was answered in a pause, want an error")
	}
	h.queue.Resume()
	if result, err = session.CallTool(t.Context(), &mcp.CallToolParams{Name: "reaction_add",
		Arguments: map[string]any{"emoji": "+1"}}); err != nil || result.IsError {
		t.Errorf("after the pause: %+v, %v; want a result", result, err)
	}
}

// connect opens a session with Go's SDK.
func connect(t *testing.T, base string, headers ...string) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1.0.0"}, nil)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: base + "/mcp", HTTPClient: &http.Client{Transport: headerTransport{transport, headers}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// headerTransport adds fields to every request.
type headerTransport struct {
	next   http.RoundTripper
	fields []string
}

func (t headerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	for i := 0; i+1 < len(t.fields); i += 2 {
		req.Header.Set(t.fields[i], t.fields[i+1])
	}
	return t.next.RoundTrip(req)
}
