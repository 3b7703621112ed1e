package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/proxy/roamtest"
)

// balancer hands each call to a replica that says it is ready, and to another one when it cannot connect.
type balancer struct {
	http.Handler
	mu       sync.Mutex
	replicas []*spawned
	next     int
}

func balance(t *testing.T, replicas ...*spawned) (*balancer, string) {
	b := &balancer{replicas: replicas}
	network := &http.Transport{DisableKeepAlives: true} // a connection that is about to end could take a write with it
	b.Handler = &httputil.ReverseProxy{
		Rewrite:   func(pr *httputil.ProxyRequest) {},
		Transport: roundTripper(func(req *http.Request) (*http.Response, error) { return b.roundTrip(network, req) }),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return b, server.URL
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func (b *balancer) roundTrip(network http.RoundTripper, req *http.Request) (*http.Response, error) {
	var refused *net.OpError
	for {
		to, _ := url.Parse(b.pick(network).base)
		req.URL.Scheme, req.URL.Host = to.Scheme, to.Host
		res, err := network.RoundTrip(req)
		if errors.As(err, &refused) && refused.Op == "dial" && req.Context().Err() == nil {
			continue // nothing was sent
		}
		return res, err
	}
}

func (b *balancer) pick(network http.RoundTripper) *spawned {
	for {
		b.mu.Lock()
		b.next++
		r := b.replicas[b.next%len(b.replicas)]
		b.mu.Unlock()
		req, _ := http.NewRequest("GET", r.admin+"/readyz", nil)
		if res, err := network.RoundTrip(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return r
			}
		}
	}
}

// patient repeats a write until it is answered otherwise than with come again later, as it is told to.
func patient(c *http.Client, base string, n int) (int, string) {
	for {
		res, err := c.Post(base+"/v1/chat.post", "application/json", strings.NewReader(fmt.Sprintf(`{"chat":"C-1","text":"call %d"}`, n)))
		if err != nil {
			return 0, err.Error()
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		later, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil {
			return res.StatusCode, string(body)
		}
		<-time.After(time.Duration(later) * time.Second)
	}
}

// Seen to fail with calls cut off at a stop.
func TestARollingRestartLosesNoCall(t *testing.T) {
	const calls = 160
	roam := roamtest.NewServer(roamtest.Options{Rate: 40, Burst: 20})
	defer roam.Close()
	config := filepath.Join(t.TempDir(), "roamproxy.yaml") // half of the quota each
	// What two processes, and one that has just ended, have under way may come late and all together: it is held back of the burst.
	os.WriteFile(config, []byte("quotas: [{name: roam, rate: 20, burst: 10, jitter: 250ms}]\nupstream: {max_in_flight: 3}\nlimits: {shutdown_delay: 200ms, shutdown_grace: 5s}\n"), 0o600)
	states := []string{t.TempDir(), t.TempDir()}
	start := func(i int) *spawned { return launch(t, roam.URL, states[i], "ROAMPROXY_CONFIG="+config) }
	b, base := balance(t, start(0), start(1))
	tools := client(t)
	var load sync.WaitGroup
	for n := range calls {
		load.Go(func() {
			if status, body := patient(tools, base, n); status != 200 {
				t.Errorf("a call was lost: %d %s", status, body)
			}
		})
	}
	for i := range 2 {
		for deadline := time.Now().Add(10 * time.Second); roam.Calls() < 40*(i+1) && time.Now().Before(deadline); {
			<-time.After(time.Millisecond)
		}
		old := b.replicas[i]
		old.Process.Signal(syscall.SIGTERM)
		if err := old.Wait(); err != nil {
			t.Errorf("replica %d ended with %v, want exit 0", i, err)
		}
		fresh := start(i)
		b.mu.Lock()
		b.replicas[i] = fresh
		b.mu.Unlock()
	}
	load.Wait()
	if roam.Calls() != calls || roam.Refused() != 0 {
		t.Errorf("Roam saw %d calls and refused %d, want %d, each once, and none", roam.Calls(), roam.Refused(), calls)
	}
}

// Seen to fail with answers that do not say they are the last.
func TestWhileItStops(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	config := filepath.Join(t.TempDir(), "roamproxy.yaml")
	os.WriteFile(config, []byte("limits: {shutdown_delay: 3s}\n"), 0o600)
	r := launch(t, roam.URL, t.TempDir(), "ROAMPROXY_CONFIG="+config)
	tools := client(t)
	if res, _ := get(t, tools, r.base+"/v1/groups.list"); res.Close {
		t.Error("a kept connection was to end while nobody stops")
	}
	r.Process.Signal(syscall.SIGTERM)
	ready := 200
	for deadline := time.Now().Add(10 * time.Second); ready == 200 && time.Now().Before(deadline); {
		res, _ := get(t, tools, r.admin+"/readyz")
		ready = res.StatusCode
	}
	res, _ := get(t, tools, r.base+"/v1/groups.list")
	if ready != 503 || res.StatusCode != 200 || !res.Close {
		t.Errorf("during shutdown_delay readyz is %d, and a call is answered %d with close %v; want 503, and 200 as the connection's last", ready, res.StatusCode, res.Close)
	}
	if err := r.Wait(); err != nil {
		t.Errorf("the end: %v, want exit 0", err)
	}
}

// Seen to fail with signals that stay caught after the first one, and with exit 0 at the second one.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	config := filepath.Join(t.TempDir(), "roamproxy.yaml")
	os.WriteFile(config, []byte("limits: {shutdown_delay: 5m}\n"), 0o600)
	r := launch(t, roam.URL, t.TempDir(), "ROAMPROXY_CONFIG="+config)
	ended := make(chan error, 1)
	go func() { ended <- r.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		r.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err == nil {
				t.Error("exit 0, as if everything had been done")
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Error("it goes on, however many signals come")
	r.Process.Kill()
	<-ended
}

// Seen to fail with a stop that is answered 502.
func TestStoppingTellsWhoStillWaits(t *testing.T) {
	c := configure(t, roamtest.Options{Burst: 1}, "quotas: [{name: roam, rate: 0.05, burst: 1, jitter: 0s, max_wait: 5m}]\n")
	conn, err := net.Dial("tcp", c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	post(client(t), "http://"+c.Addr)
	fmt.Fprintf(conn, "POST /v1/chat.post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
	for deadline := time.Now().Add(5 * time.Second); len(c.QueueState("roam").Waiting) == 0 && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	c.Server.Stop(config.Limits{ShutdownGrace: config.Duration(time.Second)})
	c.Server = nil
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Roamproxy-Error") != "shutting_down" || !res.Close {
		t.Errorf("who waited got %d %v, want 503 with shutting_down, as the connection's last", res.StatusCode, res.Header)
	}
	if later, _ := strconv.Atoi(res.Header.Get("Retry-After")); later < 2 || later > 20 {
		t.Errorf("who waited for the turn in 20 s is to come again in %d s, want what was left of them", later)
	}
}
