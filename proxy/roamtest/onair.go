package roamtest

import (
	"net/http"
	"strings"
	"time"
)

func (r *Roam) onairMethods() map[string]route {
	return map[string]route{
		"onair.event.list":      get(func(in *request) (int, any) { return page(r, in, "events", r.data.events, 10, 100) }),
		"onair.event.info":      get(r.eventInfo),
		"onair.event.create":    post(r.eventCreate),
		"onair.event.update":    post(r.eventUpdate),
		"onair.event.cancel":    post(r.eventCancel),
		"onair.guest.list":      get(r.guestList),
		"onair.guest.info":      get(r.guestInfo),
		"onair.guest.add":       post(r.guestAdd),
		"onair.guest.update":    post(r.guestUpdate),
		"onair.guest.remove":    post(r.guestRemove),
		"onair.attendance.list": get(r.attendanceList),
	}
}

// eventFields are what a client may set; calendarHostEmail is accepted and not shown.
var eventFields = [...]string{"title", "description", "start", "end", "timeZone", "enableSEO", "autoAdmit", "disableRSVP"}

func (r *Roam) eventInfo(in *request) (int, any) {
	if event := r.data.events.find(in.query.Get("id")); event != nil {
		return http.StatusOK, event
	}
	return notFound("event")
}

func (r *Roam) eventCreate(in *request) (int, any) {
	for _, name := range []string{"title", "calendarHostEmail", "start", "end", "timeZone"} {
		if in.text(name) == "" {
			return missing(name)
		}
	}
	event := newEvent(r.data.created, in.text("title"), r.started)
	r.data.created++
	event.with(in.copied(eventFields[:]...))["hosts"] = hosts(in)
	r.data.events = append(r.data.events, event)
	r.report("onair.event.created", object{"eventId": event["id"]})
	return http.StatusOK, event
}

func newEvent(i int, title string, start time.Time) object {
	slug := strings.ToLower(strings.ReplaceAll(title, " ", "-"))
	return object{
		"id": id("event", i), "title": title, "slug": slug, "start": stamp(start), "end": stamp(start.Add(time.Hour)), "timeZone": "UTC",
		"eventPageUrl": "https://ro.am/onair/" + slug, "enableSEO": false, "autoAdmit": true, "disableRSVP": false, "hosts": []object{},
	}
}

// hosts gives each host of the body an id.
func hosts(in *request) []object {
	list := []object{}
	given, _ := in.fields["hosts"].([]any)
	for i, v := range given {
		if host, ok := v.(map[string]any); ok {
			list = append(list, object{"id": id("host", i)}.with(host))
		}
	}
	return list
}

func (r *Roam) eventUpdate(in *request) (int, any) {
	event := r.data.events.find(in.text("id"))
	if event == nil {
		return notFound("event")
	}
	event.with(in.copied(eventFields[:]...))
	if _, ok := in.fields["hosts"]; ok {
		event["hosts"] = hosts(in)
	}
	r.report("onair.event.updated", object{"eventId": event["id"]})
	return http.StatusOK, event
}

func (r *Roam) eventCancel(in *request) (int, any) {
	if !r.data.events.remove(in.text("id")) {
		return notFound("event")
	}
	r.report("onair.event.canceled", object{"eventId": in.text("id")})
	return http.StatusNoContent, nil
}

func (r *Roam) guestList(in *request) (int, any) {
	if in.query.Get("eventId") == "" {
		return missing("eventId")
	}
	list := r.data.guests.where("eventId", in.query.Get("eventId"))
	if status := in.query.Get("status"); status != "" {
		list = list.where("status", status)
	}
	return page(r, in, "guests", list, 10, 100)
}

func (r *Roam) guestInfo(in *request) (int, any) {
	if guest := r.data.guests.find(in.query.Get("id")); guest != nil {
		return http.StatusOK, guest
	}
	return notFound("guest")
}

func (r *Roam) guestAdd(in *request) (int, any) {
	event := in.text("eventId")
	if r.data.events.find(event) == nil {
		return notFound("event")
	}
	given, _ := in.fields["guests"].([]any)
	added := []object{}
	for _, v := range given {
		fields, _ := v.(map[string]any)
		guest := object{"status": "invited"}.with(fields).with(object{"id": id("guest", r.data.created), "eventId": event,
			"created": stamp(time.Now())})
		r.data.created++
		r.data.guests = append(r.data.guests, guest)
		added = append(added, guest)
		r.report("onair.guest.added", object{"eventId": event, "guestId": guest["id"]})
	}
	return http.StatusOK, object{"guests": added}
}

func (r *Roam) guestUpdate(in *request) (int, any) {
	guest := r.data.guests.find(in.text("id"))
	if guest == nil {
		return notFound("guest")
	}
	guest.with(in.copied("status"))["updated"] = stamp(time.Now())
	r.report("onair.guest.rsvp", object{"eventId": guest["eventId"], "guestId": guest["id"]})
	return http.StatusOK, guest
}

func (r *Roam) guestRemove(in *request) (int, any) {
	if !r.data.guests.remove(in.text("id")) {
		return notFound("guest")
	}
	return http.StatusNoContent, nil
}

func (r *Roam) attendanceList(in *request) (int, any) {
	if in.query.Get("eventId") == "" {
		return missing("eventId")
	}
	list := []object{}
	for _, guest := range r.data.guests.where("eventId", in.query.Get("eventId")) {
		list = append(list, object{"email": guest["email"], "rsvpStatus": guest["status"], "joinDurationMinutes": 55.5})
	}
	return http.StatusOK, object{"attendees": list}
}
