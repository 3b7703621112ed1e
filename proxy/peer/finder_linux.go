package peer

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// findTimeout bounds how long the first call of a connection waits for its peer. Finding it usually takes 0.02 ms to 2 ms; the bound
// matters on very busy machines and with very many processes.
const findTimeout = 250 * time.Millisecond

// Finder finds peers. It is safe for concurrent use.
type Finder struct {
	processes *processes
	cgroups   *cgroups
}

// NewFinder returns a finder that reads /proc and /sys/fs/cgroup.
func NewFinder() *Finder {
	return &Finder{processes: newProcesses("/proc"), cgroups: newCgroups("/sys/fs/cgroup")}
}

// Find returns the peer of a connection, as far as it can be found in time. It neither reads nor writes the connection.
func (f *Finder) Find(conn net.Conn) Peer {
	deadline := time.Now().Add(findTimeout)
	switch remote := conn.RemoteAddr().(type) {
	case *net.UnixAddr:
		credentials, err := peerCredentials(conn)
		if err != nil {
			return Peer{}
		}
		if p, ok := f.processes.byPID(int(credentials.Pid)); ok {
			return p.peer()
		}
		// Pid is 0 if the process is in another pid namespace. A process that /proc hides still has a group: a shell starts each command in one.
		if group, err := unix.Getpgid(int(credentials.Pid)); err == nil && credentials.Pid > 0 {
			return Peer{Flow: fmt.Sprint("group ", group)}
		}
		return f.owner(socket{uid: credentials.Uid})
	case *net.TCPAddr:
		local, ok := conn.LocalAddr().(*net.TCPAddr)
		if !ok {
			return Peer{}
		}
		s, err := askKernel(remote.AddrPort(), local.AddrPort(), time.Until(deadline))
		if err != nil {
			return Peer{} // the peer is on another machine or in another network namespace, or sock_diag is forbidden
		}
		if p, ok := f.processes.byInode(s.inode, deadline); ok {
			return p.peer()
		}
		return f.owner(s)
	}
	return Peer{}
}

// owner returns the peer of a socket whose process is hidden: its cgroup, or else its user.
func (f *Finder) owner(s socket) Peer {
	if s.cgroup > rootCgroup {
		return Peer{Name: f.cgroups.name(s.cgroup), Flow: fmt.Sprint("cgroup ", s.cgroup), Shared: true}
	}
	if s.uid == overflowUID {
		return Peer{}
	}
	return Peer{Flow: fmt.Sprint("user ", s.uid), Shared: true}
}

// overflowUID stands for every user that our user namespace does not map, such as all others under systemd's PrivateUsers.
const overflowUID = 65534

// peerCredentials returns the process that connected to a Unix socket (unix(7), SO_PEERCRED).
func peerCredentials(conn net.Conn) (*unix.Ucred, error) {
	for {
		if c, ok := conn.(syscall.Conn); ok {
			raw, err := c.SyscallConn()
			if err != nil {
				return nil, err
			}
			var credentials *unix.Ucred
			var asked error
			if err := raw.Control(func(fd uintptr) {
				credentials, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
			}); err != nil {
				return nil, err
			}
			return credentials, asked
		}
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil, fmt.Errorf("peer: %T has no socket", conn)
		}
		conn = wrapper.NetConn()
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
