package proxy

import (
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"

	"roamproxy/limiter"
	"roamproxy/proxy/peer"
)

// Local and Other are the names of callers about which nothing is known, and of those beyond the bound.
const (
	Local = "local"
	Other = "other"
)

// maxNames bounds the names of callers, which become label values. An operator who needs more configures tools.
const maxNames = 50

// maxPrograms bounds what is kept about programs; one without a request under way is forgotten first.
const maxPrograms = 1000

// callers are the tools that are known where none are configured. A caller has two properties:
//
//	name   what it calls itself (Roamproxy-Tool), or else its program, or else the product of its User-Agent: for people to read
//	flow   its program, whatever it calls itself: for fairness, so that a program with many names has one share
//
// It is safe for concurrent use.
type callers struct {
	onNewName func(name string)

	mu       sync.Mutex // guards the following
	names    map[string]bool
	programs map[string]*program // by flow
}

// program is what runs behind one flow.
type program struct {
	inProgress atomic.Int64 // requests under way
	tools      map[string]*tool
}

func newCallers(met func(string)) *callers {
	return &callers{onNewName: met, names: make(map[string]bool), programs: make(map[string]*program)}
}

// tool returns the tool of a caller. Agent is the product of its User-Agent, and address the remote one of its connection.
func (c *callers) tool(given string, from peer.Peer, agent, address string) *tool {
	name := callerName(given, from, agent)
	flow := callerFlow(name, given, from, agent, address)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.names[name] && (name == "" || len(c.names) >= maxNames) {
		name = Other
	}
	if !c.names[name] {
		c.names[name] = true
		c.onNewName(name)
	}
	p := c.programs[flow]
	if p == nil {
		c.makeRoom()
		p = &program{tools: make(map[string]*tool)}
		c.programs[flow] = p
	}
	if p.tools[name] == nil {
		p.tools[name] = &tool{limiterTool: limiter.Tool{Name: name, Flow: flow, Weight: 1}, inProgress: &p.inProgress}
	}
	return p.tools[name]
}

func (c *callers) makeRoom() {
	if len(c.programs) < maxPrograms {
		return
	}
	for flow, p := range c.programs {
		if p.inProgress.Load() == 0 {
			delete(c.programs, flow)
		}
	}
}

// givenName is how a caller may call itself.
var givenName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// callerName returns what a person calls the caller, or nothing where it calls itself something else than a name.
func callerName(given string, from peer.Peer, agent string) string {
	switch {
	case givenName.MatchString(given):
		return given
	case given != "":
		return ""
	}
	for _, name := range []string{from.Name, strings.ToLower(agent)} {
		if name = printable(name); name != "" {
			return name
		}
	}
	return Local
}

// callerFlow returns what is the same for all calls of one program, as far as it is known. Of a program on another machine only its address
// and User-Agent are, and the name that it gives itself counts: behind one address there may be many.
func callerFlow(name, given string, from peer.Peer, agent, address string) string {
	if from.Flow != "" && !from.Shared {
		return from.Flow
	}
	if from.Flow != "" {
		return from.Flow + " with " + printable(strings.ToLower(agent))
	}
	if remote, err := netip.ParseAddrPort(address); err == nil && !remote.Addr().Unmap().IsLoopback() {
		return remote.Addr().Unmap().String() + " with " + name
	}
	return name
}

// maxName is as long as a name that callers give themselves.
const maxName = 32

// printable makes a name fit for a label, a log line and a page: letters, digits and ._/- of ASCII.
func printable(name string) string {
	name = strings.Map(func(letter rune) rune {
		switch {
		case letter >= 'a' && letter <= 'z', letter >= 'A' && letter <= 'Z', letter >= '0' && letter <= '9', strings.ContainsRune("._/-", letter):
			return letter
		}
		return '-'
	}, name)
	return strings.Trim(name[:min(len(name), maxName)], "-./")
}
