package statefile_test

import (
	"fmt"
	"os"

	"roamproxy/limiter/statefile"
)

// A record is overwritten in place at each change. The next process reads what this one wrote last.
func Example() {
	path, err := os.MkdirTemp("", "state")
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
	level := dir.Record("level", 1)
	level.Write([]byte(`{"tokens": 9}`))
	level.Write([]byte(`{"tokens": 8}`))
	if err := level.Err(); err != nil {
		fmt.Println("the state is not kept:", err)
	}

	body, err := dir.Record("level", 1).Read()
	fmt.Println(string(body), err)
	// Output: {"tokens": 8} <nil>
}
