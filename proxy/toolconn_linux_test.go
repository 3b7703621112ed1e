package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// One write arrives as one TCP segment, because the loopback device has segments of 64 KiB.
//
// Seen to fail with two segments for 16 KiB, if writeAtOnce keeps no piece.
func TestALargeHitIsOneSystemCall(t *testing.T) {
	for _, size := range []int{1 << 10, 9 << 10, 16 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			h, _ := answering(t, size)
			conn, err := net.Dial("tcp", servedToTools(t, h))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			in, before := bufio.NewReader(conn), uint32(0)
			for i := range 5 {
				io.WriteString(conn, "GET /v1/groups.list HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				got := segmentsIn(t, conn)
				if hit := strings.Contains(res.Header.Get("Cache-Status"), "; hit"); i > 0 && (got-before != 1 || !hit) {
					t.Errorf("response %d: %d segments, a hit %v; want 1 of a hit", i, got-before, hit)
				}
				before = got
			}
		})
	}
}

// segmentsIn returns how many segments with data have arrived.
func segmentsIn(t *testing.T, conn net.Conn) (n uint32) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		var info *unix.TCPInfo
		if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = info.Data_segs_in
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
