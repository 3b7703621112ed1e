package repeat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"roamproxy/proxy/repeat"
)

// The connection to Roam broke during a write. The client repeats the write, and gets the error that its outcome is unknown.
func Example() {
	memory := repeat.New()
	defer memory.Close()
	memory.Configure(2*time.Minute, nil)
	write := repeat.Write{Tool: "bot", Fingerprint: repeat.Fingerprint("POST", "/v1/chat.post", "", repeat.Digest{1})}

	pending, _, _ := memory.Begin(context.Background(), write, time.Minute)
	pending.Sent()
	pending.Unknown(http.StatusBadGateway)

	_, _, err := memory.Begin(context.Background(), write, time.Minute)
	fmt.Println(errors.As(err, new(*repeat.UnknownError)), err)

	write.Resend = true // the client has checked that Roam did not execute it
	pending, _, err = memory.Begin(context.Background(), write, time.Minute)
	fmt.Println(pending != nil, err)
	// Output:
	// true repeat: the outcome of the same write is unknown (it ended with 502)
	// true <nil>
}

// A repeat with the same Idempotency-Key gets the first answer.
func Example_idempotencyKey() {
	memory := repeat.New()
	defer memory.Close()
	memory.Configure(2*time.Minute, nil)
	write := repeat.Write{Tool: "bot", Key: "8e03978e", Fingerprint: repeat.Fingerprint("POST", "/v1/chat.post", "", repeat.Digest{1})}

	pending, _, _ := memory.Begin(context.Background(), write, time.Minute)
	pending.Sent()
	res := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"ok":true}`))}
	pending.Answered(res)
	io.Copy(io.Discard, res.Body) // to the client

	_, answer, err := memory.Begin(context.Background(), write, time.Minute)
	fmt.Println(answer.Status, string(answer.Body), err)
	// Output:
	// 200 {"ok":true} <nil>
}
