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

// Local is the name of a caller about which nothing is known. Other is the name of all callers beyond maxNames.
const (
	Local = "local"
	Other = "other"
)

// maxNames bounds the names of callers, which become label values. An operator who needs more configures tools.
const maxNames = 50

// maxPrograms bounds the programs that are remembered. Programs without a request in progress are removed first.
const maxPrograms = 1000

// maxProcesses bounds the processes whose first name is remembered: each curl of a shell is one.
const maxProcesses = 10000

// callers holds the tools of a configuration without tools. A caller has two properties:
//
//	name   for people: its Roamproxy-Tool, or else its program, or else the product of its User-Agent
//	flow   for the fair queue: its program, and the name of its first call. A process with many names has one share, and two
//	       processes of one program that have different names have two
//
// It is safe for concurrent use.
type callers struct {
	onNewName func(name string)

	mu       sync.Mutex // guards the following
	names    map[string]bool
	programs map[string]*program // by flow
	first    map[string]string   // the name of a process' first call, by process; "" if it gave none
}

// program is what runs behind one flow.
type program struct {
	inProgress atomic.Int64 // requests in progress
	tools      map[string]*tool
}

func newCallers(met func(string)) *callers {
	return &callers{onNewName: met, names: make(map[string]bool), programs: make(map[string]*program), first: make(map[string]string)}
}

// tool returns the tool of a caller. given is its Roamproxy-Tool, agent the product of its User-Agent, and address its remote address.
func (c *callers) tool(given string, from peer.Peer, agent, address string) *tool {
	name := callerName(given, from, agent)
	c.mu.Lock()
	defer c.mu.Unlock()
	flow := callerFlow(name, c.firstName(given, from), from, agent, address)
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

// firstName returns the name that the process of a caller gave with its first call, or "".
func (c *callers) firstName(given string, from peer.Peer) string {
	if from.Process == "" {
		return ""
	}
	first, known := c.first[from.Process]
	if known {
		return first
	}
	if len(c.first) >= maxProcesses {
		clear(c.first)
	}
	if givenName.MatchString(given) {
		first = given
	}
	c.first[from.Process] = first
	return first
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

// givenName matches the names that a caller may give itself.
var givenName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// callerName returns the name of a caller, or "" if its Roamproxy-Tool is not a name.
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

// callerFlow returns the flow of a caller: the same for all calls of one program, as far as that is known. For a program on another
// machine it is the address with the name, because many programs may share one address.
func callerFlow(name, firstName string, from peer.Peer, agent, address string) string {
	if from.Flow != "" && firstName != "" {
		return from.Flow + " as " + firstName
	}
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

// maxName bounds a name, in bytes. It is the longest that givenName allows.
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
