package roamtest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const scimUsers = "/scim/v2/Users"

func (u user) scim() object {
	given, family, _ := strings.Cut(u.Name, " ")
	return object{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "id": u.ID, "userName": u.Email,
		"name":        object{"givenName": given, "familyName": family},
		"displayName": u.Name, "active": true,
		"emails": []object{{"value": u.Email, "type": "work", "primary": true}},
	}
}

// scimList pages by startIndex, which counts from 1, and count (RFC 7644, section 3.4.2.4).
func (r *Roam) scimList(req *http.Request) (int, any) {
	start, err := number(req, "startIndex", 1)
	count, err2 := number(req, "count", 100)
	if err != nil || err2 != nil {
		return http.StatusBadRequest, problem{"invalid_page", "startIndex and count must be whole numbers."}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	users := r.data.users
	from := min(max(start, 1)-1, len(users))
	to := min(from+min(max(count, 0), 100), len(users))
	found := make([]object, 0, to-from)
	for _, u := range users[from:to] {
		found = append(found, u.scim())
	}
	return http.StatusOK, object{
		"schemas":      []string{"urn:ietf:params:scim:api:messages:2.0:ListResponse"},
		"totalResults": len(users), "startIndex": from + 1, "itemsPerPage": len(found), "Resources": found,
	}
}

func number(req *http.Request, name string, usual int) (int, error) {
	v := req.URL.Query().Get(name)
	if v == "" {
		return usual, nil
	}
	return strconv.Atoi(v)
}

// scimUser shows and deletes one user by its id.
func (r *Roam) scimUser(id string) route {
	return route{methods: []string{http.MethodGet, http.MethodDelete}, writes: true, serve: func(req *http.Request) (int, any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		i := slices.IndexFunc(r.data.users, func(u user) bool { return u.ID == id })
		if i < 0 {
			return http.StatusNotFound, problem{"", "No such user."}
		}
		u := r.data.users[i]
		if req.Method == http.MethodDelete {
			r.data.users = slices.Delete(slices.Clone(r.data.users), i, i+1)
			return http.StatusNoContent, nil
		}
		return http.StatusOK, u.scim()
	}}
}
