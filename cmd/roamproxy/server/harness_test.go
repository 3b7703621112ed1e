package server

import (
	"net/http"
	"net/url"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // other users must not be able to write the tests' state directories
	goleak.VerifyTestMain(m)
}

// WrapProxy changes how a running server chooses the HTTP proxy for each call to Roam. It is the last step that sees the whole request.
func (s *Server) WrapProxy(wrap func(direct func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error)) {
	base := s.current().base
	base.Proxy = wrap(base.Proxy)
}
