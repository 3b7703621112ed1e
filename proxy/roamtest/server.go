package roamtest

import "net/http/httptest"

// Server is a Roam on a real socket of the loopback interface.
type Server struct {
	*Roam
	URL string

	server *httptest.Server
}

// NewServer starts a simulated Roam. Close must be called.
func NewServer(o Options) *Server {
	r := New(o)
	s := httptest.NewServer(r)
	return &Server{Roam: r, URL: s.URL, server: s}
}

// Close ends the server, closes the connections of calls in progress, and waits for them and for webhooks.
func (s *Server) Close() {
	s.server.CloseClientConnections()
	s.server.Close()
	s.WaitDeliveries()
}
