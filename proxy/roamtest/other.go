package roamtest

import (
	"net/http"
	"strings"
	"time"
)

// otherMethods has the small families: lobbies, calendar, guest badges, uploads, and the method that tests a credential.
func (r *Roam) otherMethods() map[string]route {
	return map[string]route{
		"lobby.list":            get(r.lobbyList),
		"lobbyBooking.list":     get(r.bookingList),
		"lobby.booking.list":    get(r.bookingList),
		"calendar.list":         get(func(in *request) (int, any) { return page(r, in, "events", r.data.calendar, 10, 100) }),
		"calendar.event.create": post(r.calendarEventCreate),
		"guest.badge.list":      get(func(in *request) (int, any) { return page(r, in, "badges", r.data.badges, 10, 100) }),
		"guest.badge.create":    post(r.badgeCreate),
		"guest.badge.update":    post(r.badgeUpdate),
		"guest.badge.revoke":    post(r.badgeRevoke),
		"asset.create":          post(assetCreate),
		"story.post":            post(func(in *request) (int, any) { return http.StatusOK, object{"id": id("story", len(in.body))} }),
		"item.upload":           post(itemUpload),
		"test":                  {methods: map[string]handler{http.MethodGet: empty, http.MethodPost: empty}},
	}
}

func empty(*request) (int, any) { return http.StatusOK, object{} }

func (r *Roam) lobbyList(in *request) (int, any) {
	handle := in.query.Get("handle")
	if handle == "" {
		return http.StatusOK, object{"lobbies": r.data.lobbies}
	}
	list := r.data.lobbies.where("handle", handle)
	if len(list) == 0 {
		return http.StatusNotFound, problem{"handle_not_found", "No such handle."}
	}
	return http.StatusOK, object{"lobbies": list}
}

func (r *Roam) bookingList(in *request) (int, any) {
	if in.query.Get("lobbyId") == "" {
		return missing("lobbyId")
	}
	list, bad := between(in, r.data.bookings, func(o object) time.Time { at, _ := moment(o.text("start")); return at }, true)
	if bad != nil {
		return http.StatusBadRequest, *bad
	}
	return page(r, in, "bookings", list, 10, 100)
}

func (r *Roam) calendarEventCreate(in *request) (int, any) {
	if in.text("title") == "" {
		return missing("title")
	}
	event := in.copied("title", "start", "end", "attendees").with(object{"id": id("calendar", len(r.data.calendar))})
	r.data.calendar = append(r.data.calendar, event)
	return http.StatusOK, event
}

func (r *Roam) badgeCreate(in *request) (int, any) {
	badge := in.copied("name", "email", "start", "end").with(object{"id": id("badge", r.data.created)})
	r.data.created++
	r.data.badges = append(r.data.badges, badge)
	return http.StatusOK, badge
}

func (r *Roam) badgeUpdate(in *request) (int, any) {
	badge := r.data.badges.find(in.text("id"))
	if badge == nil {
		return notFound("badge")
	}
	return http.StatusOK, badge.with(in.copied("name", "email", "start", "end"))
}

func (r *Roam) badgeRevoke(in *request) (int, any) {
	if !r.data.badges.remove(in.text("id")) {
		return notFound("badge")
	}
	return http.StatusNoContent, nil
}

// assetCreate names a place for an upload that does not pass through the API.
func assetCreate(in *request) (int, any) {
	name := id("asset "+strings.TrimSpace(in.text("name")), 0)
	return http.StatusOK, object{"id": name, "uploadUrl": "https://files.example.com/upload/" + name}
}
