package budget_test

import (
	"errors"
	"fmt"
	"os"

	"roamproxy/limiter/statefile"
	"roamproxy/proxy/budget"
)

// A tool may make two calls a day. The count survives a restart.
func Example() {
	path, err := os.MkdirTemp("", "budget")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(path)
	dir, err := statefile.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	counts, err := budget.Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	const limit = 2
	for range limit {
		if counts.Reserve("report", limit) == nil { // before the call is queued
			counts.Spend("report", limit, true) // before it is sent
		}
	}

	counts, err = budget.Open(dir) // after a restart
	fmt.Println(counts.Used()["report"], err)
	err = counts.Reserve("report", limit)
	fmt.Println(errors.As(err, new(*budget.UsedUpError)), err)
	// Output:
	// 2 <nil>
	// true budget: this tool has used up its calls_per_day; the count starts again at midnight UTC
}
