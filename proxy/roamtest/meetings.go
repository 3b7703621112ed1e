package roamtest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// meeting is a past meeting with a transcript and a recording.
type meeting struct {
	ID, Transcript, Recording string
	Start                     time.Time
}

const meetingLength = 30 * time.Minute

func newMeeting(i int) meeting {
	return meeting{ID: id("meeting", i), Transcript: id("transcript", i), Recording: id("recording", i),
		Start: epoch().Add(time.Duration(i) * 6 * time.Hour)}
}

func (m meeting) start() time.Time { return m.Start }
func (m meeting) end() time.Time   { return m.Start.Add(meetingLength) }

func (r *Roam) meetingMethods() map[string]route {
	return map[string]route{
		"meeting.list":         get(r.meetingList),
		"meeting.info":         get(r.meetingInfo),
		"meeting.participants": get(r.meetingParticipants),
		"meeting.transcript":   get(r.meetingTranscript),
		"meeting.search":       get(r.meetingSearch),
		"meeting.prompt":       query(r.prompt),
		"meeting.shareLink":    post(share("meeting")),
		"transcript.list":      get(r.transcriptList),
		"transcript.info":      get(r.transcriptInfo),
		"transcript.prompt":    query(r.prompt),
		"recording.list":       get(r.recordingList),
		"recordings.list":      get(r.recordingList), // an alias
		"meetinglink.create":   post(r.meetingLinkCreate),
		"meetinglink.update":   post(r.meetingLinkUpdate),
		"meetinglink.info":     query(r.meetingLinkInfo),
		"meeting.link.create":  post(r.meetingLinkCreate),
		"meeting.link.update":  post(r.meetingLinkUpdate),
		"meeting.link.info":    query(r.meetingLinkInfo),
		"magicast.list":        get(func(in *request) (int, any) { return page(r, in, "magicasts", r.data.magicasts, 10, 100) }),
		"magicast.info":        get(r.magicastInfo),
		"magicast.shareLink":   post(share("magicast")),
	}
}

// meetings answers one page of a list that is made of the meetings.
func (r *Roam) meetings(in *request, name string, ascending bool, most int, show func(meeting) object) (int, any) {
	list, bad := between(in, r.data.meetings, meeting.start, ascending)
	if bad != nil {
		return http.StatusBadRequest, *bad
	}
	shown := make([]object, 0, len(list))
	for _, m := range list {
		shown = append(shown, show(m))
	}
	return page(r, in, name, shown, 10, most)
}

func (m meeting) object() object {
	return object{
		"meetingId": m.ID, "room": "Theater", "roomType": "theater", "start": stamp(m.start()), "end": stamp(m.end()),
		"participants": []object{{"name": "Ada 000", "email": "user000@example.com", "seconds": int(meetingLength.Seconds())}},
	}
}

// meetingList stays newest first on v1, and gives at most 10 a page when a summary is asked for too.
func (r *Roam) meetingList(in *request) (int, any) {
	most := 100
	if in.query.Get("expand") != "" {
		most = 10
	}
	return r.meetings(in, "meetings", !in.v1, most, meeting.object)
}

// meeting returns the meeting that a call names by its own id or its transcript's.
func (r *Roam) meeting(in *request) (i int, m meeting, ok bool) {
	wanted := in.text("meetingId", "id")
	i = slices.IndexFunc(r.data.meetings, func(m meeting) bool { return wanted != "" && (m.ID == wanted || m.Transcript == wanted) })
	if i < 0 {
		return 0, meeting{}, false
	}
	return i, r.data.meetings[i], true
}

func (r *Roam) meetingInfo(in *request) (int, any) {
	_, m, ok := r.meeting(in)
	if !ok {
		return notFound("meeting")
	}
	return http.StatusOK, m.object().with(object{"videoStatus": "ready"})
}

func (r *Roam) meetingParticipants(in *request) (int, any) {
	if _, _, ok := r.meeting(in); !ok {
		return notFound("meeting")
	}
	return page(r, in, "participants", []object{{"name": "Ada 000", "email": "user000@example.com", "type": "member"}}, 10, 200)
}

func (r *Roam) meetingSearch(in *request) (int, any) {
	wanted := in.text("query", "q")
	return r.meetings(in, "meetings", false, 100, func(m meeting) object { return m.object().with(object{"match": wanted}) })
}

// prompt answers a question about a meeting, which at Roam takes many seconds (Options.PromptLatency).
func (r *Roam) prompt(in *request) (int, any) {
	i, _, ok := r.meeting(in)
	if !ok {
		return notFound("meeting")
	}
	return http.StatusOK, object{"response": fmt.Sprintf("Meeting %d was about: %s", i, in.text("prompt"))}
}

// share returns the handler that gets or creates a link to something.
func share(noun string) handler {
	return func(in *request) (int, any) {
		wanted := in.text(noun+"Id", "id")
		if wanted == "" {
			return missing("id")
		}
		return http.StatusOK, object{"url": "https://ro.am/share/" + wanted}
	}
}

func (m meeting) transcript() object {
	return object{
		"id": m.Transcript, "meetingId": m.ID, "start": stamp(m.start()), "end": stamp(m.end()),
		"participants": []object{{"name": "Ada 000", "email": "user000@example.com", "type": "member"}},
	}
}

func (r *Roam) transcriptList(in *request) (int, any) {
	return r.meetings(in, "transcripts", true, 100, meeting.transcript)
}

// transcriptInfo shows the cues from sinceOffset (milliseconds) on. The transcript "live" belongs to a meeting that began when
// the simulator did, has no end, and gains a cue each second.
func (r *Roam) transcriptInfo(in *request) (int, any) {
	wanted, since := in.query.Get("id"), in.number("sinceOffset")
	var info object
	cues := 10
	if wanted == "live" {
		info = object{"id": id("transcript", -1), "meetingId": id("meeting", -1), "start": stamp(r.started)}
		cues = int(time.Since(r.started) / time.Second)
	} else {
		i, m, ok := r.meeting(in)
		if !ok {
			return notFound("transcript")
		}
		info = m.transcript().with(object{"summary": fmt.Sprintf("This is meeting %d.", i)})
	}
	shown := make([]object, 0, cues)
	for i := range cues {
		if start := int64(i) * 1000; start >= since {
			shown = append(shown, object{"speaker": "Ada 000", "text": fmt.Sprintf("Sentence %d.", i), "startOffset": start,
				"endOffset": start + 900})
		}
	}
	return http.StatusOK, info.with(object{"cues": shown})
}

func (r *Roam) recordingList(in *request) (int, any) {
	return r.meetings(in, "recordings", true, 100, func(m meeting) object {
		return object{
			"recordingId": m.Recording, "location": "Theater", "startTime": stamp(m.start()), "endTime": stamp(m.end()),
			"videoUrl": "https://files.example.com/" + m.Recording + "?pwd=signed",
		}
	})
}

// meetingTranscript is JSON, or WebVTT if the client accepts that.
func (r *Roam) meetingTranscript(in *request) (int, any) {
	i, m, ok := r.meeting(in)
	if !ok {
		return notFound("meeting")
	}
	text := fmt.Sprintf("This is meeting %d.", i)
	if strings.Contains(in.Header.Get("Accept"), "text/vtt") {
		return http.StatusOK, raw{"text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:04.000\n<v Ada 000>" + text + "\n"}
	}
	return http.StatusOK, object{"meetingId": m.ID, "cues": []object{{"start": 0, "end": 4, "speaker": "Ada 000", "text": text}}}
}

func (r *Roam) meetingLinkCreate(in *request) (int, any) {
	if in.text("name") == "" {
		return missing("name")
	}
	link := in.copied("name", "host", "start", "end")
	link["id"] = id("meetinglink", len(r.data.links))
	link["host"] = cmp.Or(link.text("host"), "user000@example.com")
	link["url"] = "https://ro.am/m/" + link.text("id")
	r.data.links = append(r.data.links, link)
	return http.StatusOK, object{"id": link["id"], "url": link["url"]}
}

func (r *Roam) meetingLinkUpdate(in *request) (int, any) {
	link := r.data.links.find(in.text("id"))
	if link == nil {
		return notFound("meetinglink")
	}
	link.with(in.copied("name", "host", "start", "end"))
	return http.StatusNoContent, nil
}

func (r *Roam) meetingLinkInfo(in *request) (int, any) {
	if link := r.data.links.find(in.text("id")); link != nil {
		return http.StatusOK, link
	}
	return notFound("meetinglink")
}

func (r *Roam) magicastInfo(in *request) (int, any) {
	if cast := r.data.magicasts.find(in.query.Get("id")); cast != nil {
		return http.StatusOK, cast
	}
	return notFound("magicast")
}
