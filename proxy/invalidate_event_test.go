package proxy

import (
	"slices"
	"strings"
	"testing"
)

// There is a row for every event that Roam documents on v0 and v1, and for unknown ones.
func TestWhatEachEventInvalidates(t *testing.T) {
	const (
		messages = "chat.history chat.list conversation.list reaction.list"
		meetings = "meeting.info meeting.list meeting.transcript transcript.list recording.list recordings.list"
		onair    = "onair.attendance.list onair.event.info onair.event.list onair.guest.info onair.guest.list"
	)
	everything := strings.Join(cachedRoutes(), " ")
	for _, tt := range []struct{ events, want string }{
		{"chat.message chat.message.dm chat.message.channel chat.message.mention chat.link.shared", messages + " chat.scheduled.list"},
		{"chat.reaction chat.message.reaction", messages},
		{"lobby.booked", "lobby.list lobby.booking.list lobbyBooking.list"},
		{"magicast.created", "magicast.info magicast.list"},
		{"meeting.started meeting.ended transcript.started transcript.saved recording.saved", meetings},
		{"onair.event.created onair.event.updated onair.event.canceled onair.guest.rsvp onair.guest.added", onair},
		{"user.status.update", ""},
		{"token.revoked app.uninstalled", everything},
		{"calendar.moved", "calendar.list"},
		{"future.thing.happened", ""},
	} {
		for event := range strings.FieldsSeq(tt.events) {
			t.Run(event, func(t *testing.T) {
				checkEvent(t, event, tt.want)
			})
		}
	}
	t.Run("without a name", func(t *testing.T) { checkEvent(t, "", everything) })
}

func checkEvent(t *testing.T, event, routes string) {
	t.Helper()
	var got []string
	for _, read := range cachedRoutes() {
		group := read
		if !strings.HasPrefix(read, "/") {
			group = "/v1/" + read
		}
		if eventEffect(event).covers(group, "") {
			got = append(got, read)
		}
	}
	want := strings.Fields(routes)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("invalidates %v, want %v", got, want)
	}
}
