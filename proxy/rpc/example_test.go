package rpc_test

import (
	"fmt"

	"roamproxy/proxy/rpc"
)

// A proxy refuses a tool call. A model reads results of tools and no HTTP status, so the refusal is a result.
func ExampleBody_Refuse() {
	body, err := rpc.Parse([]byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"reaction_add"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, _ := body.Refuse(rpc.Error{Code: 429, Message: "The queue is full."}, "try again in 3 s")
	fmt.Print(string(answer))
	// Output: {"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[{"type":"text","text":"try again in 3 s"}],"isError":true}}
}

// A member that occurs twice is refused: the next server could read the other one.
func ExampleParse() {
	_, err := rpc.Parse([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}`))
	fmt.Println(err)
	// Output:
	// rpc: the body is no JSON-RPC message, or an ambiguous one: "method" occurs twice
}

func ExamplePattern() {
	p, err := rpc.ParsePattern("tools/call meeting_*")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, tool := range []string{"meeting_search", "reaction_add"} {
		fmt.Println(tool, p.Matches(rpc.Message{Method: rpc.ToolCall, Name: tool}))
	}
	// Output:
	// meeting_search true
	// reaction_add false
}
