// Package peer finds out which program of this machine is at the other end of a connection.
//
//	Unix socket     SO_PEERCRED: the process
//	TCP             one question to the kernel (sock_diag) about the other socket: its owner, inode and cgroup, also of other users;
//	                then the process that holds the inode, where /proc shows it
//	process         its name, and a flow for all processes of one program in one session
//	otherwise       the cgroup, or else the user: of another container, or hidden by hidepid or ProtectProc=invisible; on a Unix
//	                socket the process group, which shows even then
//
// It works on Linux. Elsewhere, and for connections from other machines, it finds nothing.
package peer

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// Peer is a program at the other end of a connection, as far as it could be found out. The zero Peer is unknown.
type Peer struct {
	// Name is what a person calls the program: exporter.py rather than python3, standup.service. It is empty where nothing
	// tells, and it is not unique.
	Name string
	// Flow is the same for all connections of one program, and differs between programs. It is empty where nothing tells.
	Flow string
	// Shared reports that Flow may be of several programs: of one cgroup or one user.
	Shared bool
	// Helper reports that the program calls for others, as curl does, so that no process of it has more than one name.
	Helper bool
}

// connection is a connection whose peer is found when it is first asked for, and once.
type connection struct {
	finder *Finder
	conn   net.Conn
	once   sync.Once
	peer   Peer
}

type connectionKey struct{}

// Attach makes a server remember its connections, for Of. A ConnContext that is set before is kept.
func (f *Finder) Attach(s *http.Server) {
	before := s.ConnContext
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if before != nil {
			ctx = before(ctx, c)
		}
		return context.WithValue(ctx, connectionKey{}, &connection{finder: f, conn: c})
	}
}

// Of returns the peer of a request's connection. It takes some 0.1 ms on the first request of a connection, and at most a quarter
// of a second. The peer is unknown where the server was not attached.
func Of(ctx context.Context) Peer {
	c, ok := ctx.Value(connectionKey{}).(*connection)
	if !ok {
		return Peer{}
	}
	c.once.Do(func() { c.peer = c.finder.Find(c.conn) })
	return c.peer
}
