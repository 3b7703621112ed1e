package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestAHitOfAnySizeOnTheWire(t *testing.T) {
	for _, size := range []int{100, 4000, 4 << 10, 5000, 8 << 10, 8<<10 + 1, 16 << 10, 1 << 20} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			h, _ := answering(t, size)
			c, err := net.Dial("tcp", servedAt(t, h))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			hit := "GET /v1/groups.list?limit=10&expand=a HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bot/1\r\nAccept: " +
				"application/json\r\nAccept-Encoding: gzip, deflate\r\nRoamproxy-Tool: bot\r\n\r\n"
			fmt.Fprint(c, hit, strings.Replace(hit, "GET", "HEAD", 1), strings.Replace(hit, "\r\n\r\n", "\r\nIf-None-Match: *\r\n\r\n", 1), hit)
			in := bufio.NewReader(c)
			for i, want := range []struct{ status, bytes int }{{200, size}, {200, 0}, {304, 0}, {200, size}} {
				res, err := http.ReadResponse(in, &http.Request{Method: []string{"GET", "HEAD", "GET", "GET"}[i]})
				if err != nil {
					t.Fatalf("answer %d: %v", i, err)
				}
				body, err := io.ReadAll(res.Body)
				if res.StatusCode != want.status || len(body) != want.bytes || err != nil || bytes.Count(body, []byte("x")) < want.bytes-17 {
					t.Errorf("answer %d: %d with %d bytes (%v), want %d with %d", i, res.StatusCode, len(body), err, want.status,
						want.bytes)
				}
			}
		})
	}
}

// Each request of a connection is identified by its own token, in the configuration that is in force when it arrives.
func TestEveryRequestIsIdentifiedByItsOwnToken(t *testing.T) {
	tool := func(name string) Tool { return Tool{Name: name, Tokens: tokens(name)} }
	with := func(tools ...Tool) *harness {
		return newHarness(t, nil, &recordingUpstream{answer: func(r *http.Request) (*http.Response, error) { return reply(r, 200, "{}"), nil }},
			unmetered, func(p *setup) { p.proxy.Tools = tools })
	}
	var now atomic.Pointer[harness]
	first, second := with(tool("bot"), tool("bridge")), with(tool("bridge"))
	now.Store(first)
	base := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { now.Load().ServeHTTP(w, r) }))
	conns := 0
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: 1,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conns++
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}}
	defer client.CloseIdleConnections()
	for i, step := range []struct {
		in    *harness
		token string
		want  int
		tool  string
	}{
		{first, "bot", 200, "bot"},
		{first, "bot", 200, "bot"},
		{first, "bridge", 200, "bridge"},
		{first, "bridge_", 401, "other"},
		{first, "bridgf", 401, "other"},
		{first, "", 401, "other"},
		{first, "bot", 200, "bot"},
		{second, "bot", 401, "other"}, // a reload removed it
		{second, "bridge", 200, "bridge"},
		{first, "bridge", 200, "bridge"},
	} {
		now.Store(step.in)
		req, _ := http.NewRequest("GET", base+"/v1/groups.list", nil)
		if step.token != "" {
			req.Header.Set("Authorization", "Bearer "+step.token)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if got := step.in.last().Tool; res.StatusCode != step.want || got != step.tool {
			t.Errorf("request %d with token %q: %d as %s, want %d as %s", i, step.token, res.StatusCode, got, step.want, step.tool)
		}
	}
	if conns != 1 {
		t.Errorf("there were %d connections, want that all of it was on one", conns)
	}
}

// BenchmarkToken finds one of a thousand tools by its token.
func BenchmarkToken(b *testing.B) {
	var all []Tool
	for i := range 1000 {
		all = append(all, Tool{Name: fmt.Sprint("tool", i), Tokens: tokens(fmt.Sprint("token", i))})
	}
	known, err := newTools(all, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	rq := &request{own: ownFields{authorization: []string{"Bearer token999"}}}
	b.ReportAllocs()
	for b.Loop() {
		if known.findByToken(rq) == nil {
			b.Fatal("not found")
		}
	}
}
