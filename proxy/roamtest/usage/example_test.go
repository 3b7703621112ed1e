package usage_test

import (
	"fmt"
	"runtime"

	"roamproxy/proxy/roamtest/usage"
)

// A benchmark measures what it uses between two moments. Other programs of a busy machine do not count.
func Example() {
	heap, processor := usage.Heap(), usage.ProcessorTime()
	kept := make([]byte, 8<<20)
	for i := range kept {
		kept[i] = byte(i)
	}
	fmt.Println(usage.Heap()-heap > 7<<20, usage.ProcessorTime() >= processor)
	runtime.KeepAlive(kept)
	// Output:
	// true true
}
