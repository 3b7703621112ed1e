package redistest

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"
)

// Cluster is a real Redis Cluster for a test. Its nodes have equal parts of the slots.
type Cluster []*Redis

// NewCluster starts a Cluster of n nodes.
func NewCluster(t redisTest, n int) Cluster {
	t.Helper()
	var all Cluster
	var buses []string
	for range n {
		bus := freePort(t)
		all = append(all, NewRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "10000"))
		buses = append(buses, bus)
	}
	for i, r := range all {
		r.cli("cluster", "addslotsrange", fmt.Sprint(16384*i/n), fmt.Sprint(16384*(i+1)/n-1))
		host, port, _ := net.SplitHostPort(r.Addr)
		all[0].cli("cluster", "meet", host, port, buses[i])
	}
	for _, r := range all {
		r.until(fmt.Sprint("cluster_known_nodes:", n), "cluster", "info")
		r.until("cluster_state:ok", "cluster", "info")
	}
	return all
}

// URL returns the address for redis.url.
func (c Cluster) URL() string {
	var more []string
	for _, other := range c[1:] {
		more = append(more, "addr="+other.Addr)
	}
	return c[0].URL() + "?" + strings.Join(more, "&")
}

func freePort(t redisTest) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("a free port: %v", err)
	}
	defer free.Close()
	_, port, _ := net.SplitHostPort(free.Addr().String())
	return port
}

// cli runs a command and returns the answer.
func (r *Redis) cli(command ...string) string {
	r.t.Helper()
	host, port, _ := net.SplitHostPort(r.Addr)
	out, err := exec.Command(Program(r.t, "redis-cli"), append([]string{"-h", host, "-p", port}, command...)...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("redis-cli %v: %v %s", command, err, out)
	}
	return string(out)
}

// until runs a command again and again until the answer contains want.
func (r *Redis) until(want string, command ...string) {
	r.t.Helper()
	said := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if said = r.cli(command...); strings.Contains(said, want) {
			return
		}
	}
	r.t.Fatalf("redis-cli %v is answered %s, want %s", command, said, want)
}
