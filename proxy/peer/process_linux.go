package peer

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/procfs"
)

// processes finds the process that holds a socket. It is safe for concurrent use.
type processes struct {
	root   string
	search chan struct{} // a semaphore: one search at a time, so that a flood of connections does not multiply the work
	// Only the goroutine that searches uses the following.
	restUntil time.Time // no search begins before this
	lastPIDs  []int     // pids that had a socket, the last one first; ours to begin with, for roamproxy demo

	mu     sync.Mutex // guards the following
	inodes map[uint32]process
}

// process is the name and the flow of a process.
type process struct {
	name, flow string
	id         string
}

func (p process) peer() Peer { return Peer{Name: p.name, Flow: p.flow, Process: p.id} }

// Bounds of a search. A stream of connections, each from a new process, takes at most a fifth of a core.
const (
	maxInodes      = 4096 // sockets whose process is remembered
	maxDescriptors = 4096 // a process with more files is a server, and no client of Roam
	maxLastPIDs    = 16   // programs that call Roam are few, and the next socket is most likely of one of them
	restFactor     = 4    // times as long as a search took
	maxRest        = 20 * time.Millisecond
)

func newProcesses(root string) *processes {
	return &processes{root: root, search: make(chan struct{}, 1), lastPIDs: []int{os.Getpid()}, inodes: make(map[uint32]process)}
}

// byInode returns the process that holds a socket, if it is visible and found in time.
func (p *processes) byInode(inode uint32, deadline time.Time) (process, bool) {
	if inode == 0 {
		return process{}, false
	}
	if found, ok := p.cached(inode); ok {
		return found, true
	}
	timeout := time.NewTimer(time.Until(deadline))
	defer timeout.Stop()
	select {
	case p.search <- struct{}{}:
		defer func() { <-p.search }()
	case <-timeout.C:
		return process{}, false
	}
	if found, ok := p.cached(inode); ok { // the search that this call waited for has found it
		return found, true
	}
	if rest := time.Until(p.restUntil); rest > 0 {
		select {
		case <-time.After(rest):
		case <-timeout.C:
			return process{}, false
		}
	}
	begun := time.Now()
	found, ok := p.searchAll(inode, deadline)
	p.restUntil = time.Now().Add(min(restFactor*time.Since(begun), maxRest))
	return found, ok
}

func (p *processes) cached(inode uint32) (process, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.inodes[inode]
	return found, ok
}

// searchAll goes through all processes: those that had sockets before, and then the newest first.
func (p *processes) searchAll(inode uint32, deadline time.Time) (process, bool) {
	fs, err := procfs.NewFS(p.root)
	if err != nil {
		return process{}, false
	}
	all, err := fs.AllProcs()
	if err != nil {
		return process{}, false
	}
	rank := func(proc procfs.Proc) int {
		if i := slices.Index(p.lastPIDs, proc.PID); i >= 0 {
			return i
		}
		return maxLastPIDs
	}
	slices.SortFunc(all, func(a, b procfs.Proc) int { return cmp.Or(rank(a)-rank(b), b.PID-a.PID) })
	link := fmt.Sprintf("socket:[%d]", inode)
	for _, proc := range all {
		if time.Now().After(deadline) {
			break
		}
		if n, err := proc.FileDescriptorsLen(); err != nil || n > maxDescriptors {
			continue
		}
		targets, err := proc.FileDescriptorTargets()
		if err != nil || !slices.Contains(targets, link) {
			continue
		}
		p.lastPIDs = slices.DeleteFunc(p.lastPIDs, func(pid int) bool { return pid == proc.PID })
		p.lastPIDs = slices.Insert(p.lastPIDs, 0, proc.PID)[:min(len(p.lastPIDs)+1, maxLastPIDs)]
		found := describe(fs, proc)
		p.remember(targets, found)
		return found, true
	}
	return process{}, false
}

// remember stores a process for all its sockets, so that many connections of one process need one search.
func (p *processes) remember(targets []string, found process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.inodes) > maxInodes {
		clear(p.inodes)
	}
	for _, target := range targets {
		number, isSocket := strings.CutPrefix(target, "socket:[")
		if inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32); isSocket && err == nil {
			p.inodes[uint32(inode)] = found
		}
	}
}

// byPID returns a process, if it is visible.
func (p *processes) byPID(pid int) (process, bool) {
	fs, err := procfs.NewFS(p.root)
	if err != nil {
		return process{}, false
	}
	proc, err := fs.Proc(pid)
	if err != nil || pid <= 0 {
		return process{}, false
	}
	return describe(fs, proc), true
}

// describe names a process, other than this one. Its flow is that of its program, user and session: the workers of one program are one
// flow, and two scripts in two terminals are two.
func describe(fs procfs.FS, proc procfs.Proc) process {
	if proc.PID == os.Getpid() {
		return process{} // in roamproxy demo the tools are in this process, and have names
	}
	name := programOf(proc)
	stat, err := proc.Stat()
	if err != nil {
		return process{name: name, flow: "program " + name}
	}
	uid := uint64(0)
	if status, err := proc.NewStatus(); err == nil {
		uid = status.UIDs[0]
	}
	if isHelper(name) {
		if script := ancestorScript(fs, stat.PPID); script != "" {
			name = script
		}
	}
	return process{
		name: name,
		flow: fmt.Sprintf("program %s of %d in %d", name, uid, stat.Session),
		id:   fmt.Sprintf("%d since %d", proc.PID, stat.Starttime), // the kernel gives a pid to another process later
	}
}

// maxAncestors bounds the search for a script: xargs, timeout and one or two shells may be between.
const maxAncestors = 4

// ancestorScript returns the script that started a helper such as curl, or "".
func ancestorScript(fs procfs.FS, pid int) string {
	for range maxAncestors {
		proc, err := fs.Proc(pid)
		if err != nil {
			return ""
		}
		args, err := proc.CmdLine()
		if err != nil || len(args) == 0 {
			return ""
		}
		if script := scriptOf(args); script != "" {
			return script
		}
		if name := baseName(args[0]); !isHelper(name) && !isInterpreter(name) {
			return ""
		}
		stat, err := proc.Stat()
		if err != nil {
			return ""
		}
		pid = stat.PPID
	}
	return ""
}

// programOf returns the program of a process by its command line, or by the kernel's name for it if that is hidden or empty.
func programOf(proc procfs.Proc) string {
	if args, err := proc.CmdLine(); err == nil && len(args) > 0 {
		name := scriptOf(args)
		if name == "" {
			name = baseName(args[0])
		}
		if isGeneric(name) {
			if cwd, err := proc.Cwd(); err == nil && cwd != "" {
				name = withDirectory(args, name, cwd)
			}
		}
		if name != "" {
			return name
		}
	}
	comm, err := proc.Comm()
	if err != nil {
		return ""
	}
	return comm
}
