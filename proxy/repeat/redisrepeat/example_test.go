package redisrepeat_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"roamproxy/proxy/repeat"
	"roamproxy/proxy/repeat/redisrepeat"
)

// While Redis is unreachable the store returns an error, and the replica continues with its own memory.
func Example() {
	store := redisrepeat.New(func() rueidis.Client { return nil }, "roamproxy")
	_, err := store.Look(context.Background(), "write", time.Minute)
	fmt.Println(err)

	memory := repeat.New()
	defer memory.Close()
	memory.Configure(2*time.Minute, store)
	pending, _, err := memory.Begin(context.Background(), repeat.Write{Tool: "bot", Key: "8e03978e"}, time.Minute)
	fmt.Println(pending != nil, err)
	// Output:
	// redisrepeat: redis is unreachable
	// true <nil>
}
