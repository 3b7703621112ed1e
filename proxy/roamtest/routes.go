package roamtest

import (
	"net/http"
	"net/url"
	"strings"
)

// A route is one method of Roam: what it answers and whether it changes anything.
type route struct {
	methods []string
	writes  bool
	serve   func(*http.Request) (int, any)
}

func reads(serve func(*http.Request) (int, any)) route {
	return route{methods: []string{http.MethodGet}, serve: serve}
}

// asks is a read that comes as a POST.
func asks(serve func(*http.Request) (int, any)) route {
	return route{methods: []string{http.MethodPost}, serve: serve}
}

func writes(serve func(*http.Request) (int, any)) route {
	return route{methods: []string{http.MethodPost}, writes: true, serve: serve}
}

// table names every method under both versions, as Roam has most of them.
func (r *Roam) table() map[string]route {
	methods := map[string]route{
		"groups.list":         reads(r.groupsList),
		"group.list":          reads(r.groupList),
		"group.create":        writes(r.groupCreate),
		"group.rename":        writes(r.groupRename),
		"user.list":           reads(r.userList),
		"user.info":           reads(r.userInfo),
		"token.info":          reads(r.tokenInfo),
		"chat.history":        reads(r.chatHistory),
		"chat.post":           writes(r.chatPost),
		"transcript.list":     reads(r.transcriptList),
		"meeting.list":        reads(r.meetingList),
		"meeting.transcript":  reads(r.meetingTranscript),
		"recording.list":      reads(r.recordingList),
		"messageevent.export": asks(r.messageEventExport),
		"item.upload":         writes(r.itemUpload),
	}
	table := make(map[string]route, 2*len(methods)+1)
	for name, m := range methods {
		table["/v1/"+name], table["/v0/"+name] = m, m
	}
	table[scimUsers] = reads(r.scimList)
	return table
}

// scimRoute finds the routes whose path carries an id.
func (r *Roam) scimRoute(path string) (route, bool) {
	id, ok := strings.CutPrefix(path, scimUsers+"/")
	if id, err := url.PathUnescape(id); ok && err == nil && id != "" && !strings.Contains(id, "/") {
		return r.scimUser(id), true
	}
	return route{}, false
}
