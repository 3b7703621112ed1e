package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Sentinels are real Sentinels for a test, which watch a Redis under the name "roam". They promote a replica two seconds after the Redis
// has stopped answering: with a shorter time, a busy machine would look like a dead one.
type Sentinels []*Redis

// NewSentinels starts n Sentinels. More than half of them must agree on a failover.
func NewSentinels(t redisTest, primary *Redis, n int) Sentinels {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary.Addr)
	var all Sentinels
	for range n {
		s := &Redis{t: t, program: Program(t, "redis-server"), dir: t.TempDir()}
		s.monitor = filepath.Join(s.dir, "sentinel.conf")
		text := fmt.Sprintf("sentinel monitor roam %s %s %d\nsentinel down-after-milliseconds roam 2000\nsentinel failover-timeout roam 5000\n",
			host, port, n/2+1)
		if err := os.WriteFile(s.monitor, []byte(text), 0o600); err != nil {
			t.Fatalf("%v", err)
		}
		t.Cleanup(s.Kill)
		s.Start()
		all = append(all, s)
	}
	return all
}

// URL returns the address for redis.url, which leads to the present primary.
func (s Sentinels) URL() string {
	var more strings.Builder
	for _, other := range s[1:] {
		fmt.Fprintf(&more, "&addr=%s", other.Addr)
	}
	return fmt.Sprintf("redis://%s?master_set=roam%s", s[0].Addr, more.String())
}
