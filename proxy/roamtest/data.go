package roamtest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// data is the workspace. It is the same in every run, so that a test may name what is in it.
type data struct {
	users    []user
	groups   []group
	messages map[string][]message // by chat, oldest first
	meetings []meeting            // oldest first
	posted   int64                // microseconds of the latest message
	created  int                  // objects made by clients, for their ids

	links, magicasts, scheduled, calendar, badges collection
	activity, statuses, bubbles                   collection // of users
	lobbies, bookings, audit                      collection
	events, guests                                collection // of onair
	subscriptions                                 collection
}

// epoch is when the workspace begins; everything in it is dated from here.
func epoch() time.Time { return time.Date(2026, time.January, 5, 9, 0, 0, 0, time.UTC) }

func newData(users int) data {
	d := data{messages: make(map[string][]message), posted: epoch().UnixMicro()}
	for i := range users {
		d.users = append(d.users, newUser(i))
	}
	for i, name := range []string{"Everyone", "Engineering", "Design", "Stand-up", "Sales", "Support"} {
		g := newGroup(i, name, epoch().AddDate(0, 0, i))
		for j := i; j < users; j += i + 1 {
			g.Members = append(g.Members, d.users[j].ID)
		}
		d.groups = append(d.groups, g)
	}
	for i := range 240 {
		d.meetings = append(d.meetings, newMeeting(i))
	}
	d.created = len(d.groups)
	d.addStatic()
	return d
}

// addStatic adds a few objects of each kind that no call creates.
func (d *data) addStatic() {
	for i := range 30 {
		at := stamp(epoch().Add(time.Duration(i) * time.Hour))
		d.magicasts = append(d.magicasts, object{"id": id("magicast", i), "name": fmt.Sprintf("Magicast %d", i), "createdAt": at})
		d.audit = append(d.audit, object{
			"timestamp": at, "eventType": "user.login", "name": newUser(i).Name, "email": newUser(i).Email, "data": object{},
		})
		d.bookings = append(d.bookings, object{
			"id": id("booking", i), "start": at, "end": stamp(epoch().Add(time.Duration(i)*time.Hour + meetingLength)), "status": "booked",
			"created":  at,
			"hosts":    []object{{"email": newUser(0).Email, "isOrganizer": true}},
			"invitees": []object{{"email": "guest@example.com", "status": "accepted"}},
		})
	}
	for i, handle := range []string{"example", "sales"} {
		d.lobbies = append(d.lobbies, object{
			"id": id("lobby", i), "slug": "", "displayName": "Lobby " + handle, "active": true, "handle": handle, "url": "https://ro.am/" + handle,
		})
	}
	d.events = append(d.events, newEvent(0, "Launch day", epoch()))
	d.calendar = append(d.calendar, object{"id": id("calendar", 0), "title": "Stand-up", "start": stamp(epoch()),
		"end": stamp(epoch().Add(meetingLength))})
	d.scheduled = append(d.scheduled, object{"id": id("scheduled", 0), "text": "Good morning", "sendAt": stamp(epoch())})
}

// id makes a UUID out of a name and a number.
func id(noun string, i int) string {
	s := sha256.Sum256([]byte(noun + " " + strconv.Itoa(i)))
	s[6], s[8] = s[6]&0x0f|0x40, s[8]&0x3f|0x80
	h := hex.EncodeToString(s[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
