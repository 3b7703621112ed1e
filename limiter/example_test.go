package limiter_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roamproxy/limiter"
)

// A quota of one call a minute and two at once. The third call would wait for a minute, and its tool does not wait: the queue
// refuses it at once, and the error says when to try again.
func Example() {
	bucket, err := limiter.NewLocal(1.0/60, 2, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	queue := limiter.New(limiter.Options{Bucket: bucket})
	defer queue.Close()
	caller := limiter.Caller{Tool: limiter.Tool{Name: "bot"}, Urgency: limiter.Usual, Longest: 0}
	for range 3 {
		permit, err := queue.Wait(context.Background(), caller)
		var refusal *limiter.Refusal
		if errors.As(err, &refusal) {
			fmt.Println("not sent:", refusal.Reason, "- try again in", refusal.RetryAfter.Round(time.Minute))
			continue
		}
		fmt.Println("send the call now")
		permit.Answered() // Roam did not say 429
		permit.Release()
	}
	// Output:
	// send the call now
	// send the call now
	// not sent: limiter: the wait is longer than the call may wait - try again in 1m0s
}
