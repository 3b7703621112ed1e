package roamtest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// data is the workspace. It is the same in every run, so that a test may name what is in it.
type data struct {
	users    []user
	groups   []group
	messages map[string][]message // by chat, oldest first
	meetings []meeting            // oldest first
	posted   int64                // microseconds of the latest message
}

// epoch is when the workspace begins; everything in it is dated from here.
func epoch() time.Time { return time.Date(2026, time.January, 5, 9, 0, 0, 0, time.UTC) }

func newData(users int) data {
	d := data{messages: make(map[string][]message), posted: epoch().UnixMicro()}
	for i := range users {
		d.users = append(d.users, newUser(i))
	}
	for i, name := range []string{"Everyone", "Engineering", "Design", "Stand-up", "Sales", "Support"} {
		d.groups = append(d.groups, newGroup(i, name, epoch().AddDate(0, 0, i)))
	}
	for i := range 240 {
		d.meetings = append(d.meetings, newMeeting(i))
	}
	return d
}

// id makes a UUID out of a name and a number.
func id(noun string, i int) string {
	s := sha256.Sum256(fmt.Appendf(nil, "%s %d", noun, i))
	s[6], s[8] = s[6]&0x0f|0x40, s[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", s[:4], s[4:6], s[6:8], s[8:10], s[10:16])
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// decode reads a JSON body of at most 1 MiB, far more than any call of Roam's takes.
func decode(req *http.Request, into any) *problem {
	err := json.NewDecoder(io.LimitReader(req.Body, 1<<20)).Decode(into)
	if err != nil {
		return &problem{"invalid_json", "The body is not the JSON that this method takes."}
	}
	return nil
}

// tokenInfo tells whose credential it is.
func (r *Roam) tokenInfo(*http.Request) (int, any) {
	return http.StatusOK, object{
		"addr":   "B-" + id("bot", 0),
		"scopes": []string{"chat:read", "chat:write", "group:read", "group:write", "user:read"},
		"roam":   object{"id": id("roam", 0), "name": "Example Ltd."},
	}
}
