// Package peer finds the local program at the other end of a connection.
//
//	Unix socket     SO_PEERCRED: the process
//	TCP             one sock_diag request to the kernel returns owner, inode and cgroup of the other socket, also for other users;
//	                then the process that holds the inode, if /proc shows it
//	process         its name, and one flow for all processes of one program in one session
//	otherwise       the cgroup, or else the user, if the process is in another container or is hidden by hidepid or
//	                ProtectProc=invisible; on a Unix socket the process group, which is visible even then
//
// It works on Linux. On other systems, and for connections from other machines, it finds nothing.
package peer

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// Peer is a program at the other end of a connection, as far as it could be found out. The zero Peer is unknown.
type Peer struct {
	// Name is a name for people: exporter.py rather than python3, or standup.service. It is empty if unknown, and not unique.
	Name string
	// Flow is the same for all connections of one program, and differs between programs. It is empty if unknown.
	Flow string
	// Shared reports that several programs may have the same Flow: those of one cgroup or one user.
	Shared bool
	// Process is the same for all connections of one process, and differs between processes. It is empty where the process is hidden.
	Process string
}

// connection is a connection whose peer is looked up once, at the first call of Of.
type connection struct {
	finder *Finder
	conn   net.Conn
	once   sync.Once
	peer   Peer
}

type connectionKey struct{}

// Attach stores each connection of a server in the context of its requests, for Of. It keeps a ConnContext that is set already.
func (f *Finder) Attach(s *http.Server) {
	before := s.ConnContext
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if before != nil {
			ctx = before(ctx, c)
		}
		return context.WithValue(ctx, connectionKey{}, &connection{finder: f, conn: c})
	}
}

// Of returns the peer of a request's connection. It takes about 0.1 ms on the first request of a connection, and at most a quarter of a
// second. The peer is unknown if Attach was not called for the server.
func Of(ctx context.Context) Peer {
	c, ok := ctx.Value(connectionKey{}).(*connection)
	if !ok {
		return Peer{}
	}
	c.once.Do(func() { c.peer = c.finder.Find(c.conn) })
	return c.peer
}
