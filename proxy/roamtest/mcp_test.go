package roamtest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// keyTransport adds the credential to the calls of an MCP client.
type keyTransport struct{ next http.RoundTripper }

func (k keyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+DefaultKey)
	return k.next.RoundTrip(req)
}

func TestAnAgentFindsAMeetingAndReacts(t *testing.T) {
	roam := NewServer(Options{Rate: 1000, Burst: 1000})
	defer roam.Close()
	_, posted := call(t, roam.Transport(), "POST", "/v1/chat.post", `{"chatId":"C-1","text":"hello"}`)
	_, timestamp, _ := strings.Cut(strings.TrimSuffix(posted, "}"), `"timestamp":`)

	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil)
	transport := &mcp.StreamableClientTransport{Endpoint: roam.URL + "/mcp",
		HTTPClient: &http.Client{Transport: keyTransport{&http.Transport{DisableKeepAlives: true}}}}
	session, err := client.Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil || len(tools.Tools) != 7 {
		t.Fatalf("the tools: %v, %v; want 7", tools, err)
	}
	for _, step := range []struct {
		tool  string
		given map[string]any
		want  string
	}{
		{"meeting_search", map[string]any{"query": "launch"}, `"meetings":[{`},
		{"meeting_transcript", map[string]any{"id": id("meeting", 7)}, "This is meeting 7."},
		{"reaction_add", map[string]any{"chatId": "C-1", "timestamp": json.Number(timestamp), "name": "100"}, `"ok":true`},
		{"reaction_list", map[string]any{"chatId": "C-1", "timestamp": json.Number(timestamp)}, `"name":"100"`},
		{"meeting_info", map[string]any{"id": "none"}, "meeting_not_found"},
	} {
		result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: step.tool, Arguments: step.given})
		if err != nil {
			t.Fatalf("%s: %v", step.tool, err)
		}
		if text := result.Content[0].(*mcp.TextContent).Text; !strings.Contains(text, step.want) {
			t.Errorf("%s: got %s, want %s", step.tool, text, step.want)
		}
	}
	if _, body := call(t, roam.Transport(), "GET", "/v1/chat.history?chatId=C-1", ""); !strings.Contains(body, `"name":"100"`) {
		t.Errorf("got %s, want the reaction that MCP added", body)
	}
}
