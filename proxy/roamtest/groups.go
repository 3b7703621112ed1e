package roamtest

import (
	"net/http"
	"slices"
	"time"
)

type group struct {
	ID      string
	Name    string
	Private bool
	Created time.Time
}

func newGroup(i int, name string, created time.Time) group {
	return group{ID: "G-" + id("group", i), Name: name, Created: created}
}

// groupsList is the odd one out: a bare array, all of it at once.
func (r *Roam) groupsList(*http.Request) (int, any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]object, 0, len(r.data.groups))
	for _, g := range r.data.groups {
		access := "public"
		if g.Private {
			access = "private"
		}
		list = append(list, object{"addressId": g.ID, "roamId": 1, "accountId": 1, "groupType": "user", "name": g.Name, "accessMode": access, "groupManagement": "members", "enforceThreadedMode": false, "dateCreated": stamp(g.Created)})
	}
	return http.StatusOK, list
}

func (r *Roam) groupList(req *http.Request) (int, any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]object, 0, len(r.data.groups))
	for _, g := range r.data.groups {
		list = append(list, g.object())
	}
	return page(r, req, "groups", list, 50, 100)
}

func (g group) object() object {
	return object{"id": g.ID, "name": g.Name, "private": g.Private, "dateCreated": stamp(g.Created)}
}

func (r *Roam) groupCreate(req *http.Request) (int, any) {
	var in struct {
		Name    string `json:"name"`
		Private bool   `json:"private"`
	}
	if bad := decode(req, &in); bad != nil {
		return http.StatusBadRequest, *bad
	}
	if in.Name == "" {
		return http.StatusBadRequest, problem{"missing_name", "name is required."}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	g := newGroup(len(r.data.groups), in.Name, time.Now())
	g.Private = in.Private
	r.data.groups = append(r.data.groups, g)
	return http.StatusOK, g.object()
}

func (r *Roam) groupRename(req *http.Request) (int, any) {
	var in struct{ ID, Name string }
	if bad := decode(req, &in); bad != nil {
		return http.StatusBadRequest, *bad
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.data.groups, func(g group) bool { return g.ID == in.ID })
	switch {
	case i < 0:
		return http.StatusNotFound, problem{"group_not_found", "No such group."}
	case in.Name == "":
		return http.StatusBadRequest, problem{"missing_name", "name is required."}
	}
	r.data.groups[i].Name = in.Name
	return http.StatusNoContent, nil
}
