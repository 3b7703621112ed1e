package eventstream_test

import (
	"fmt"
	"io"
	"net/http"

	"roamproxy/proxy/eventstream"
)

// upstream answers every request with a stream that ends only with its request.
type upstream struct{}

func (upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	reader, writer := io.Pipe()
	go func() {
		io.WriteString(writer, "data: hello\n\n")
		<-req.Context().Done()
		writer.CloseWithError(req.Context().Err())
	}()
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: reader, Request: req}, nil
}

// At the stop of the process an open stream ends without an error, so its client opens another one at the next process.
func ExampleStreams_Drain() {
	streams := eventstream.New()
	client := &http.Client{Transport: &eventstream.Transport{
		Next: upstream{}, Streams: streams, Upstream: "org",
		Tool:       func(*http.Request) string { return "agent" },
		Subscribes: func(*http.Request) bool { return false },
	}}
	req, _ := http.NewRequest(http.MethodGet, "http://roam.example/mcp", nil)
	req.Header.Set("Accept", "text/event-stream")
	res, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	event := make([]byte, len("data: hello\n\n"))
	io.ReadFull(res.Body, event)
	streams.Drain()
	rest, err := io.ReadAll(res.Body)
	fmt.Printf("%q, then %q and %v\n", event, rest, err)
	// Output:
	// "data: hello\n\n", then "" and <nil>
}
