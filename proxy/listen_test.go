package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// listening serves h as roamproxy does, on a socket.
func listening(t *testing.T, h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Listener = Remember(server.Config, server.Listener)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// What is held back for the body comes before it, whole, and by itself where nothing joins it.
func TestWhatIsHeldBackIsNotLost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		size   int
		pieces []string
		want   []string // as they leave
	}{
		{"a header and a large body", 20_000, []string{"header ", "body"}, []string{"header ", "body"}},
		{"the body's tail goes by itself", 20_000, []string{"header ", "body ", "tail"}, []string{"header ", "body ", "tail"}},
		{"a header that nothing joins", 20_000, []string{"header"}, []string{"header"}},
		{"a small body", 100, []string{"all of it"}, []string{"all of it"}},
	} {
		ours, theirs := net.Pipe()
		c := &connection{Conn: ours, spare: &sync.Pool{New: func() any { return new([]byte) }}}
		go func() {
			defer ours.Close()
			c.join(tt.size)
			for i, p := range tt.pieces {
				buffer := []byte(p)
				if n, err := c.Write(buffer); n != len(p) || err != nil {
					t.Errorf("%s: piece %d: %d, %v, want %d", tt.name, i, n, err, len(p))
				}
				clear(buffer) // net/http uses it again
			}
			c.part()
		}()
		got, _ := io.ReadAll(theirs)
		if want := strings.Join(tt.want, ""); string(got) != want {
			t.Errorf("%s: got %q, want %q", tt.name, got, want)
		}
	}
}

func TestAHitOfAnySizeOnTheWire(t *testing.T) {
	for _, size := range []int{100, 4000, 4 << 10, 5000, 8 << 10, 8<<10 + 1, 16 << 10, 1 << 20} {
		h, _ := answering(t, size)
		server := listening(t, h)
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		hit := "GET /v1/groups.list?limit=10&expand=a HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bot/1\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\nRoamproxy-Tool: bot\r\n\r\n"
		fmt.Fprint(c, hit, strings.Replace(hit, "GET", "HEAD", 1), strings.Replace(hit, "\r\n\r\n", "\r\nIf-None-Match: *\r\n\r\n", 1), hit)
		in := bufio.NewReader(c)
		for i, want := range []struct{ status, bytes int }{{200, size}, {200, 0}, {304, 0}, {200, size}} {
			res, err := http.ReadResponse(in, &http.Request{Method: []string{"GET", "HEAD", "GET", "GET"}[i]})
			if err != nil {
				t.Fatalf("%d bytes, answer %d: %v", size, i, err)
			}
			body, err := io.ReadAll(res.Body)
			if res.StatusCode != want.status || len(body) != want.bytes || err != nil || bytes.Count(body, []byte("x")) < want.bytes-17 {
				t.Errorf("%d bytes, answer %d: %d with %d bytes (%v), want %d with %d", size, i, res.StatusCode, len(body), err, want.status, want.bytes)
			}
		}
	}
}

// What a connection has proven holds for that token and these tools, and for nothing else that comes on it.
func TestAConnectionsProofIsOfOneTokenAndOneConfiguration(t *testing.T) {
	tool := func(name string) Tool { return Tool{Name: name, Tokens: [][32]byte{sha256.Sum256([]byte(name))}} }
	with := func(tools ...Tool) *house {
		return build(t, nil, &echo{answer: func(r *http.Request) (*http.Response, error) { return reply(r, 200, "{}"), nil }}, unmetered, func(p *plan) { p.proxy.Tools = tools })
	}
	var now atomic.Pointer[house]
	first, second := with(tool("bot"), tool("bridge")), with(tool("bridge"))
	now.Store(first)
	server := listening(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { now.Load().ServeHTTP(w, r) }))
	conns := 0
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: 1, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conns++
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}}
	defer client.CloseIdleConnections()
	for i, tt := range []struct {
		house *house
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
		{second, "bot", 401, "other"}, // a reload took it away
		{second, "bridge", 200, "bridge"},
		{first, "bridge", 200, "bridge"},
	} {
		now.Store(tt.house)
		req, _ := http.NewRequest("GET", server.URL+"/v1/groups.list", nil)
		if tt.token != "" {
			req.Header.Set("Authorization", "Bearer "+tt.token)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if got := tt.house.last().Tool; res.StatusCode != tt.want || got != tt.tool {
			t.Errorf("request %d with token %q: %d as %s, want %d as %s", i, tt.token, res.StatusCode, got, tt.want, tt.tool)
		}
	}
	if conns != 1 {
		t.Errorf("there were %d connections, want that all of it was on one", conns)
	}
}

// BenchmarkProof finds the last of a thousand tools by its token.
func BenchmarkProof(b *testing.B) {
	var all []Tool
	for i := range 1000 {
		all = append(all, Tool{Name: fmt.Sprint("tool", i), Tokens: [][32]byte{sha256.Sum256([]byte(fmt.Sprint("token", i)))}})
	}
	known, err := newTools(all, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer token999")
	for name, r := range map[string]*http.Request{"first": r, "again": r.WithContext(context.WithValue(r.Context(), connectionKey{}, &connection{}))} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if known.proven(&visit{r: r, own: r.Header}) == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}
