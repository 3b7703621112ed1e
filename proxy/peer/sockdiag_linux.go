package peer

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// socket is what the kernel reports about a socket of any user (sock_diag(7)).
type socket struct {
	uid    uint32
	inode  uint32
	cgroup uint64 // id in cgroup v2; 0 before Linux 5.8
}

// rootCgroup is the id of the root of cgroup v2. On a system without cgroups all processes are in it.
const rootCgroup = 1

// Layout of request and answer: struct inet_diag_req_v2 and inet_diag_msg of linux/inet_diag.h, after a struct nlmsghdr.
const (
	headerSize  = unix.SizeofNlMsghdr
	requestSize = headerSize + 56
	answerSize  = headerSize + 72
	// offsets in the answer
	stateAt, uidAt, inodeAt = headerSize + 1, headerSize + 64, headerSize + 68

	attributeCgroup = 21 // INET_DIAG_CGROUP_ID
	tcpListen       = 10 // TCP_LISTEN of net/tcp_states.h
)

// askKernel returns the TCP socket that is bound to from and connected to to, in the network namespace of this process.
func askKernel(from, to netip.AddrPort, wait time.Duration) (socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return socket{}, fmt.Errorf("peer: netlink: %w", err)
	}
	defer unix.Close(fd)
	timeout := unix.NsecToTimeval(max(wait, time.Millisecond).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return socket{}, fmt.Errorf("peer: netlink: %w", err)
	}
	if err := unix.Sendto(fd, question(unmap(from), unmap(to)), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return socket{}, fmt.Errorf("peer: netlink: %w", err)
	}
	var buffer [4096]byte // an answer has some 150 bytes
	n, _, err := unix.Recvfrom(fd, buffer[:], 0)
	if err != nil {
		return socket{}, fmt.Errorf("peer: netlink: %w", err)
	}
	return parseAnswer(buffer[:n])
}

// question returns a SOCK_DIAG_BY_FAMILY request for one socket.
func question(from, to netip.AddrPort) []byte {
	q := make([]byte, requestSize)
	binary.NativeEndian.PutUint32(q[0:], requestSize)
	binary.NativeEndian.PutUint16(q[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(q[6:], unix.NLM_F_REQUEST)
	body := q[headerSize:]
	body[0], body[1] = unix.AF_INET6, unix.IPPROTO_TCP
	if from.Addr().Is4() {
		body[0] = unix.AF_INET
	}
	binary.NativeEndian.PutUint32(body[4:], 0xffffffff) // any state
	binary.BigEndian.PutUint16(body[8:], from.Port())
	binary.BigEndian.PutUint16(body[10:], to.Port())
	copy(body[12:28], from.Addr().AsSlice())
	copy(body[28:44], to.Addr().AsSlice())
	binary.NativeEndian.PutUint64(body[48:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	return q
}

// parseAnswer returns the socket in an answer, or the error that the kernel sent.
func parseAnswer(a []byte) (socket, error) {
	if len(a) < headerSize+4 {
		return socket{}, fmt.Errorf("peer: the kernel's answer has %d bytes", len(a))
	}
	if kind := binary.NativeEndian.Uint16(a[4:]); kind != unix.SOCK_DIAG_BY_FAMILY {
		return socket{}, fmt.Errorf("peer: the kernel: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(a[headerSize:]))))
	}
	size := int(binary.NativeEndian.Uint32(a))
	if size < answerSize || size > len(a) || a[stateAt] == tcpListen { // a listener on the same port is not the peer
		return socket{}, unix.ENOENT
	}
	s := socket{uid: binary.NativeEndian.Uint32(a[uidAt:]), inode: binary.NativeEndian.Uint32(a[inodeAt:])}
	for rest := a[answerSize:size]; len(rest) >= unix.SizeofNlAttr; {
		length, kind := int(binary.NativeEndian.Uint16(rest)), binary.NativeEndian.Uint16(rest[2:])
		if length < unix.SizeofNlAttr || length > len(rest) {
			break
		}
		if kind == attributeCgroup && length == unix.SizeofNlAttr+8 {
			s.cgroup = binary.NativeEndian.Uint64(rest[unix.SizeofNlAttr:])
		}
		rest = rest[min((length+3)&^3, len(rest)):]
	}
	return s, nil
}
