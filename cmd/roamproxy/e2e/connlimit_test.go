package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"roamproxy/proxy/roamtest"
)

// ended waits until the other side closes.
func ended(t *testing.T, conn net.Conn, what string) {
	t.Helper()
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("%s is still open: %v", what, err)
	}
}

// A lower limit closes no open connection; the next new one closes the idle ones.
func TestAReloadBoundsConnections(t *testing.T) {
	c := startReloadable(t, roamtest.Options{}, "")
	var held []net.Conn
	for range 6 {
		conn := dial(t, c.Addr, "")
		if got := answers(t, conn, bufio.NewReader(conn)); got != 200 {
			t.Fatalf("a call is answered %d, want 200", got)
		}
		held = append(held, conn)
	}
	c.reloads(t, client(t), "limits: {max_connections: 2}\n")
	if got := answers(t, held[0], bufio.NewReader(held[0])); got != 200 {
		t.Errorf("after the reload a connection that was open is answered %d, want 200", got)
	}
	fresh := dial(t, c.Addr, "")
	if got := answers(t, fresh, bufio.NewReader(fresh)); got != 200 {
		t.Errorf("a new connection is answered %d, want 200", got)
	}
	for i, conn := range held[1:] {
		ended(t, conn, fmt.Sprintf("connection %d, over the limit,", i+1))
	}
	if got := answers(t, held[0], bufio.NewReader(held[0])); got != 200 {
		t.Errorf("the connection that was used last is answered %d, want 200", got)
	}
}
