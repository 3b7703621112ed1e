package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/proxy/roamtest"
)

// ended waits until the other side closes.
func ended(t *testing.T, conn net.Conn, what string) {
	t.Helper()
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("%s is still open: %v", what, err)
	}
}

// With other timeouts new connections are cut sooner, and the one that was there before is not.
func TestAReloadChangesTheTimeoutsOfNewConnections(t *testing.T) {
	c := configure(t, roamtest.Options{}, "")
	before := dial(t, c.Addr, "")
	in := bufio.NewReader(before)
	if got := answers(t, before, in); got != 200 {
		t.Fatalf("before the reload a call is answered %d", got)
	}
	for _, lines := range []string{"limits: {idle_timeout: 300ms}\n", "limits: {idle_timeout: 300ms, read_header_timeout: 200ms}\n"} {
		c.reloads(t, client(t), lines)
		idle := dial(t, c.Addr, "")
		if got := answers(t, idle, bufio.NewReader(idle)); got != 200 {
			t.Fatalf("after the reload a call is answered %d", got)
		}
		ended(t, idle, "a new connection that idles")
	}
	ended(t, dial(t, c.Addr, "GET / HTTP/1.1\r\nX: "), "a new connection whose header does not end")
	admin := dial(t, c.AdminAddr, "GET / HTTP/1.1\r\nX: ")
	ended(t, admin, "one on the admin listener")
	if got := answers(t, before, in); got != 200 {
		t.Errorf("a call on the connection that was there before is answered %d, want 200", got)
	}
}

// While the timeouts change again and again nobody who connects is turned away, and the end waits for who came under each.
func TestTheDoorIsNeverShutByAReload(t *testing.T) {
	const fast = "quotas: [{name: roam, rate: 100, burst: 10, jitter: 50ms}]\n"
	c := configure(t, roamtest.Options{Rate: 100, Latency: 300 * time.Millisecond}, fast)
	var all sync.WaitGroup
	busy, cancel := context.WithCancel(t.Context())
	for range 4 {
		all.Go(func() {
			for busy.Err() == nil {
				conn, err := net.Dial("tcp", c.Addr)
				if err != nil {
					t.Errorf("connecting: %v", err)
					return
				}
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				if got := answers(t, conn, bufio.NewReader(conn)); got != 200 {
					t.Errorf("a call on a new connection is answered %d", got)
				}
				conn.Close()
			}
		})
	}
	var under sync.WaitGroup
	for i := range 20 {
		c.reloads(t, client(t), fmt.Sprintf("%slimits: {idle_timeout: %ds}\n", fast, 10+i))
		if i%4 == 3 {
			calls := c.roam.Calls()
			under.Go(func() {
				if got := post(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+c.Addr); got != 200 {
					t.Errorf("a call under way when roamproxy ends is answered %d", got)
				}
			})
			for deadline := time.Now().Add(10 * time.Second); c.roam.Calls() == calls && time.Now().Before(deadline); {
				<-time.After(time.Millisecond)
			}
		}
	}
	cancel()
	all.Wait()
	addr := c.Addr
	c.Stop(config.Limits{ShutdownGrace: config.Duration(10 * time.Second)})
	c.Server = nil
	under.Wait()
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("somebody still listens after the end")
	}
}

// With fewer seats nobody is put out; the next that comes finds room by closing those of no use.
func TestAReloadBoundsConnections(t *testing.T) {
	c := configure(t, roamtest.Options{}, "")
	var held []net.Conn
	for range 6 {
		conn := dial(t, c.Addr, "")
		if got := answers(t, conn, bufio.NewReader(conn)); got != 200 {
			t.Fatalf("a call is answered %d", got)
		}
		held = append(held, conn)
	}
	c.reloads(t, client(t), "limits: {max_connections: 2}\n")
	if got := answers(t, held[0], bufio.NewReader(held[0])); got != 200 {
		t.Errorf("after the reload a connection that was open is answered %d", got)
	}
	fresh := dial(t, c.Addr, "")
	if got := answers(t, fresh, bufio.NewReader(fresh)); got != 200 {
		t.Errorf("a new connection is answered %d", got)
	}
	for i, conn := range held[1:] {
		ended(t, conn, fmt.Sprintf("connection %d, for which there is no seat,", i+1))
	}
	if got := answers(t, held[0], bufio.NewReader(held[0])); got != 200 {
		t.Errorf("the connection that was used last is answered %d", got)
	}
}
