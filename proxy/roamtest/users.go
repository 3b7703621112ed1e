package roamtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

type user struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	IsAdmin  bool   `json:"isAdmin"`
	JobTitle string `json:"jobTitle"`
	Status   string `json:"status,omitempty"`

	archived bool // by SCIM, which still lists it; no other list does
}

func newUser(i int) user {
	given := []string{"Ada", "Grace", "Edsger", "Barbara", "Ken", "Radia", "Donald", "Frances"}
	titles := []string{"Engineer", "Designer", "Analyst", "Manager", "Writer"}
	return user{
		ID:       "U-" + id("user", i),
		Name:     fmt.Sprintf("%s %03d", given[i%len(given)], i),
		Email:    fmt.Sprintf("user%03d@example.com", i),
		IsAdmin:  i == 0,
		JobTitle: titles[i%len(titles)],
	}
}

func (r *Roam) userMethods() map[string]route {
	return map[string]route{
		"user.list":               get(r.userList),
		"user.info":               get(r.userInfo),
		"user.lookup":             get(r.userLookup),
		"user.activity.set":       post(r.setOf(&r.data.activity)),
		"user.activity.clear":     post(r.clearOf(&r.data.activity)),
		"user.activity.list":      get(func(in *request) (int, any) { return page(r, in, "activities", r.data.activity, 10, 100) }),
		"user.status.set":         post(r.setOf(&r.data.statuses)),
		"user.status.clear":       post(r.clearOf(&r.data.statuses)),
		"user.statusBubble.set":   post(r.setOf(&r.data.bubbles)),
		"user.statusBubble.clear": post(r.clearOf(&r.data.bubbles)),
		"user.statusBubble.get":   get(r.statusBubble),
		"userauditlog.list":       get(r.userAuditLog),
		"addr.info":               get(r.addrInfo),
		"token.info":              get(r.tokenInfo),
		"token.revoke":            post(r.revoke),
		"app.uninstall":           post(r.revoke),
	}
}

// members returns the users that are not archived. With the parameter ids it returns only those, in that order.
func (r *Roam) members(in *request) []user {
	var ids []string
	for _, list := range in.query["ids"] {
		ids = append(ids, strings.Split(list, ",")...)
	}
	var list []user
	for i, u := range r.data.users {
		if u.archived || ids != nil && !slices.Contains(ids, u.ID) {
			continue
		}
		if in.expands("status") {
			u.Status = status(i)
		}
		list = append(list, u)
	}
	slices.SortStableFunc(list, func(a, b user) int { return slices.Index(ids, a.ID) - slices.Index(ids, b.ID) })
	return list
}

func (r *Roam) userList(in *request) (int, any) { return page(r, in, "users", r.members(in), 10, 100) }

func (r *Roam) userInfo(in *request) (int, any) {
	status, body := r.oneUser(in, func(u user) bool { return u.ID == in.query.Get("id") })
	if o, ok := body.(object); ok && in.expands("available") {
		o["available"] = o["isAdmin"] != true
	}
	return status, body
}

func (r *Roam) userLookup(in *request) (int, any) {
	return r.oneUser(in, func(u user) bool { return strings.EqualFold(u.Email, in.query.Get("email")) })
}

func (r *Roam) oneUser(in *request, wanted func(user) bool) (int, any) {
	for _, u := range r.members(in) {
		if wanted(u) {
			body := object{"id": u.ID, "name": u.Name, "email": u.Email, "isAdmin": u.IsAdmin, "jobTitle": u.JobTitle}
			if u.Status != "" {
				body["status"] = u.Status
			}
			return http.StatusOK, body
		}
	}
	return notFound("user")
}

func status(i int) string {
	if i%3 == 0 {
		return "checkedIn"
	}
	return "checkedOut"
}

// setOf returns the handler that sets a user's activity, status or bubble, which later calls show.
func (r *Roam) setOf(c *collection) handler {
	return func(in *request) (int, any) {
		user := subject(in)
		c.remove(user)
		*c = append(*c, object{"id": user, "userId": user}.with(in.copied("activity", "status", "emoji", "text", "expiresAt")))
		r.report("user.status.update", object{"userId": user})
		return http.StatusOK, object{}
	}
}

func (r *Roam) clearOf(c *collection) handler {
	return func(in *request) (int, any) {
		c.remove(subject(in))
		return http.StatusOK, object{}
	}
}

// subject returns the id of the user that a call names, or that of the credential's bot.
func subject(in *request) string {
	if user := in.text("userId", "user", "id"); user != "" {
		return user
	}
	return "B-" + id("bot", 0)
}

func (r *Roam) statusBubble(in *request) (int, any) {
	if o := r.data.bubbles.find(subject(in)); o != nil {
		return http.StatusOK, o
	}
	return http.StatusOK, object{"userId": subject(in)}
}

func (r *Roam) userAuditLog(in *request) (int, any) {
	day, err := moment(in.query.Get("date"))
	if err != nil || day.IsZero() {
		return http.StatusBadRequest, problem{"invalid_date", "date must be RFC 3339 or YYYY-MM-DD."}
	}
	entries := make([]object, 0)
	for _, o := range r.data.audit {
		if at, _ := moment(o.text("timestamp")); at.Format(time.DateOnly) == day.Format(time.DateOnly) {
			entries = append(entries, o)
		}
	}
	return http.StatusOK, object{"auditLogs": entries}
}

func (r *Roam) addrInfo(in *request) (int, any) {
	addr := in.query.Get("addr")
	if strings.HasPrefix(addr, "B-") {
		return http.StatusOK, object{"type": "bot", "id": addr, "integrationId": id("integration", 0), "displayName": "Example bot"}
	}
	for _, u := range r.data.users {
		if u.ID == addr && !u.archived {
			return http.StatusOK, object{"type": "user", "id": u.ID, "email": u.Email, "displayName": u.Name}
		}
	}
	return http.StatusBadRequest, problem{"addr_not_found", "No such address."}
}

// tokenInfo describes the credential.
func (r *Roam) tokenInfo(in *request) (int, any) {
	bot, roam := "B-"+id("bot", 0), object{"id": id("roam", 0), "name": "Example Ltd."}
	scopes := []string{"chat:read", "chat:write", "group:read", "group:write", "user:read"}
	if in.v1 {
		return http.StatusOK, object{"access": "organization", "botId": bot, "addr": bot, "scopes": scopes, "roam": roam}
	}
	return http.StatusOK, object{"addr": bot, "scopes": scopes, "roam": roam}
}

// revoke ends the credential with which it is called.
func (r *Roam) revoke(in *request) (int, any) {
	if key, ok := bearer(in.Request); ok {
		r.revoked = append(r.revoked, key)
	}
	if strings.HasSuffix(in.URL.Path, "/app.uninstall") {
		r.report("app.uninstalled", object{})
	} else {
		r.report("token.revoked", object{})
	}
	return http.StatusOK, object{}
}
