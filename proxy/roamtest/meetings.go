package roamtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A meeting has a transcript and a recording.
type meeting struct {
	ID, Transcript, Recording string
	Start                     time.Time
}

const meetingLength = 30 * time.Minute

func newMeeting(i int) meeting {
	return meeting{ID: id("meeting", i), Transcript: id("transcript", i), Recording: id("recording", i), Start: epoch().Add(time.Duration(i) * 6 * time.Hour)}
}

func (m meeting) start() time.Time { return m.Start }
func (m meeting) end() time.Time   { return m.Start.Add(meetingLength) }

// meetings answers one page of a list that is made of the meetings.
func (r *Roam) meetings(req *http.Request, name string, turns bool, most int, show func(meeting) object) (int, any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list, bad := between(req, r.data.meetings, meeting.start, turns)
	if bad != nil {
		return http.StatusBadRequest, *bad
	}
	shown := make([]object, 0, len(list))
	for _, m := range list {
		shown = append(shown, show(m))
	}
	return page(r, req, name, shown, 10, most)
}

// meetingList stays newest first on v1, and is capped at 10 when a summary is asked for too.
func (r *Roam) meetingList(req *http.Request) (int, any) {
	most := 100
	if req.URL.Query().Get("expand") != "" {
		most = 10
	}
	return r.meetings(req, "meetings", !v1(req), most, func(m meeting) object {
		return object{
			"meetingId": m.ID, "room": "Theater", "roomType": "theater", "start": stamp(m.start()), "end": stamp(m.end()),
			"participants": []object{{"name": "Ada 000", "email": "user000@example.com", "seconds": int(meetingLength.Seconds())}},
		}
	})
}

func (r *Roam) transcriptList(req *http.Request) (int, any) {
	return r.meetings(req, "transcripts", true, 100, func(m meeting) object {
		return object{
			"id": m.Transcript, "meetingId": m.ID, "start": stamp(m.start()), "end": stamp(m.end()),
			"participants": []object{{"name": "Ada 000", "email": "user000@example.com", "type": "member"}},
		}
	})
}

func (r *Roam) recordingList(req *http.Request) (int, any) {
	return r.meetings(req, "recordings", true, 100, func(m meeting) object {
		return object{
			"recordingId": m.Recording, "location": "Theater", "startTime": stamp(m.start()), "endTime": stamp(m.end()),
			"videoUrl": "https://files.example.com/" + m.Recording + "?pwd=signed",
		}
	})
}

// meetingTranscript is JSON, or WebVTT for who accepts that.
func (r *Roam) meetingTranscript(req *http.Request) (int, any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	query := req.URL.Query()
	wanted := query.Get("meetingId")
	if wanted == "" {
		wanted = query.Get("id")
	}
	i := slices.IndexFunc(r.data.meetings, func(m meeting) bool { return m.ID == wanted })
	if i < 0 {
		return http.StatusNotFound, problem{"meeting_not_found", "No such meeting."}
	}
	text := fmt.Sprintf("This is meeting %d.", i)
	if strings.Contains(req.Header.Get("Accept"), "text/vtt") {
		return http.StatusOK, raw{"text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:04.000\n<v Ada 000>" + text + "\n"}
	}
	return http.StatusOK, object{"meetingId": wanted, "cues": []object{{"start": 0, "end": 4, "speaker": "Ada 000", "text": text}}}
}
