package roamtest

import (
	"fmt"
	"net/http"
	"slices"
)

type user struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	IsAdmin  bool   `json:"isAdmin"`
	JobTitle string `json:"jobTitle"`
	Status   string `json:"status,omitempty"`
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

func (r *Roam) userList(req *http.Request) (int, any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	users := r.data.users
	if req.URL.Query().Get("expand") == "status" {
		users = slices.Clone(users)
		for i := range users {
			users[i].Status = status(i)
		}
	}
	return page(r, req, "users", users, 10, 100)
}

func (r *Roam) userInfo(req *http.Request) (int, any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.data.users, func(u user) bool { return u.ID == req.URL.Query().Get("id") })
	if i < 0 {
		return http.StatusNotFound, problem{"user_not_found", "No such user."}
	}
	u := r.data.users[i]
	body := object{"id": u.ID, "name": u.Name, "email": u.Email, "isAdmin": u.IsAdmin, "jobTitle": u.JobTitle}
	if req.URL.Query().Get("expand") == "status" {
		body["status"] = status(i)
	}
	return http.StatusOK, body
}

func status(i int) string {
	if i%3 == 0 {
		return "checkedIn"
	}
	return "checkedOut"
}
