package fairqueue_test

import (
	"fmt"

	"roamproxy/limiter/fairqueue"
)

// A bot sends one call while an exporter has three queued. The bot's call is dispatched second: it waits for one call of the
// exporter, and not for all of them.
func Example() {
	q := fairqueue.New[string]()
	exporter, bot := fairqueue.Flow{Name: "exporter"}, fairqueue.Flow{Name: "bot"}
	for rank, call := range []string{"page 1", "page 2", "page 3"} {
		q.Push(exporter, int64(rank), call)
	}
	q.Push(bot, 3, "a message")
	for i := q.Pop(1, 0); i != nil; i = q.Pop(1, 0) {
		fmt.Println(i.Flow().Name, i.Value)
	}
	// Output:
	// exporter page 1
	// bot a message
	// exporter page 2
	// exporter page 3
}
