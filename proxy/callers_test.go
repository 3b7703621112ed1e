package proxy

import (
	"fmt"
	"strings"
	"testing"

	"roamproxy/proxy/peer"
)

// A caller's name and flow come from the first of these that is known: its own header, its program, its owner, its address, its User-Agent.
func TestNameAndFlowOfACaller(t *testing.T) {
	exporter := peer.Peer{Name: "exporter.py", Flow: "program exporter.py of 0 in 7", Process: "12 since 34"}
	hidden := peer.Peer{Flow: "user 1001", Shared: true}
	unit := peer.Peer{Name: "standup", Flow: "cgroup 77", Shared: true}
	const local, far = "127.0.0.1:5000", "10.1.2.3:5000"
	for _, tt := range []struct {
		what, given   string
		from          peer.Peer
		agent, remote string
		name, flow    string
	}{
		{"a program", "", exporter, "python-requests", local, "exporter.py", exporter.Flow},
		{"a program with a name", "bot", exporter, "python-requests", local, "bot", exporter.Flow + " as bot"},
		{"a program with something else than a name", "Bot\n", exporter, "", local, Other, exporter.Flow},
		{"a program that is not visible", "", hidden, "Python-Requests", local, "python-requests", "user 1001 with python-requests"},
		{"the same with a name", "bot", hidden, "python-requests", local, "bot", "user 1001 with python-requests"},
		{"a service", "", unit, "python-requests", local, "standup", "cgroup 77 with python-requests"},
		{"an unknown program", "", peer.Peer{}, "curl", local, "curl", "curl"},
		{"an unknown program with a name", "bot", peer.Peer{}, "curl", local, "bot", "bot"},
		{"nothing", "", peer.Peer{}, "", local, Local, Local},
		{"a Unix socket without a peer", "", peer.Peer{}, "curl", "@", "curl", "curl"},
		{"another container", "", peer.Peer{}, "axios", far, "axios", "10.1.2.3 with axios"},
		{"another container with a name", "bot", peer.Peer{}, "axios", far, "bot", "10.1.2.3 with bot"},
		{"another container, mapped", "", peer.Peer{}, "axios", "[::ffff:10.1.2.3]:5000", "axios", "10.1.2.3 with axios"},
		{"a program with a strange name", "", peer.Peer{Name: "bad name\n\"{}é", Flow: "f"}, "", local, "bad-name", "f"},
		{"a program with a long name", "", peer.Peer{Name: strings.Repeat("x", 100), Flow: "f"}, "", local, strings.Repeat("x", 32), "f"},
		{"a program whose name is nothing but signs", "", peer.Peer{Name: "../..", Flow: "f"}, "--", local, Local, "f"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			c := newCallers(func(string) {})
			if got := c.tool(tt.given, tt.from, tt.agent, tt.remote).limiterTool; got.Name != tt.name || got.Flow != tt.flow {
				t.Errorf("called %q in flow %q, want %q in %q", got.Name, got.Flow, tt.name, tt.flow)
			}
		})
	}
}

// Different names of one process share a flow. Processes of one program with different names have a flow each.
func TestFlowsOfNamedProcesses(t *testing.T) {
	const program = "program worker.js of 0 in 7"
	flow := func(c *callers, process, given string) string {
		return c.tool(given, peer.Peer{Name: "worker.js", Flow: program, Process: process}, "node", "127.0.0.1:5000").limiterTool.Flow
	}
	for _, tt := range []struct {
		what         string
		a, b         [2]string // process and name
		wantOneShare bool
	}{
		{"two names of one process", [2]string{"1", "bot"}, [2]string{"1", "exporter"}, true},
		{"a name and none of one process", [2]string{"1", "bot"}, [2]string{"1", ""}, true},
		{"none and a name of one process", [2]string{"1", ""}, [2]string{"1", "bot"}, true},
		{"one name of two processes", [2]string{"1", "bot"}, [2]string{"2", "bot"}, true},
		{"no name of two processes", [2]string{"1", ""}, [2]string{"2", ""}, true},
		{"two names of two processes", [2]string{"1", "bot"}, [2]string{"2", "exporter"}, false},
		{"two names of hidden processes", [2]string{"", "bot"}, [2]string{"", "exporter"}, true},
		{"something else than a name", [2]string{"1", "Bot\n"}, [2]string{"2", "é"}, true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			c := newCallers(func(string) {})
			if a, b := flow(c, tt.a[0], tt.a[1]), flow(c, tt.b[0], tt.b[1]); (a == b) != tt.wantOneShare {
				t.Errorf("flows %q and %q, want one share: %v", a, b, tt.wantOneShare)
			}
		})
	}
}

// Names become labels of metrics, and new programs may call at any time: both are bounded. Calls in progress are counted by program.
func TestCallersAreBounded(t *testing.T) {
	met := map[string]int{}
	c := newCallers(func(name string) { met[name]++ })
	busy := c.tool("", peer.Peer{Name: "busy.py", Flow: "busy"}, "", "")
	busy.inProgress.Add(1)
	for i := range 5 * maxPrograms {
		c.tool("", peer.Peer{Name: fmt.Sprint("p", i), Flow: fmt.Sprint("flow ", i)}, "", "")
	}
	for i := range 2 * maxProcesses {
		c.tool("", peer.Peer{Flow: "busy", Process: fmt.Sprint(i)}, "", "")
	}
	if len(c.first) > maxProcesses {
		t.Errorf("%d processes are remembered, want at most %d", len(c.first), maxProcesses)
	}
	if len(c.programs) > maxPrograms || len(met) != maxNames+1 || met[Other] != 1 {
		t.Errorf("%d programs and %d names, want at most %d and %d", len(c.programs), len(met), maxPrograms, maxNames+1)
	}
	if again := c.tool("other-name", peer.Peer{Flow: "busy"}, "", ""); again.inProgress != busy.inProgress {
		t.Error("calls of one program under two names are counted separately, want together")
	}
}
