package roamtest

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// page cuts one page out of a list: its items, and what the answer says about the next. A cursor is a position, as Roam's
// are: not a snapshot.
func page[T any](r *Roam, in *request, name string, items []T, usual, most int) (int, any) {
	limit, at := usual, 0
	var err error
	if v := in.text("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 {
			return http.StatusBadRequest, problem{"invalid_limit", "limit must be a positive whole number."}
		}
	} else if n := in.number("limit"); n > 0 { // of a body
		limit = int(n)
	}
	if r.options.MaxLimit > 0 && limit > r.options.MaxLimit {
		return http.StatusBadRequest, problem{"invalid_limit", "limit is too large."}
	}
	limit = min(limit, most)
	if v := in.text("cursor"); v != "" {
		if at, err = strconv.Atoi(v); err != nil || at < 0 {
			return http.StatusBadRequest, problem{"invalid_cursor", "cursor is not one that Roam made."}
		}
	}
	at = min(at, len(items))
	end := min(at+limit, len(items))
	body := object{name: append([]T{}, items[at:end]...)}
	switch {
	case end < len(items):
		body["nextCursor"] = strconv.Itoa(end)
	case r.options.End == Null:
		body["nextCursor"] = nil
	case r.options.End == Empty:
		body["nextCursor"] = ""
	}
	return http.StatusOK, body
}

// between selects the items in the range of after and before, each RFC 3339 or YYYY-MM-DD. Items come oldest first; the answer
// is newest first, unless the list is ascending when after is given.
func between[T any](in *request, items []T, at func(T) time.Time, ascending bool) ([]T, *problem) {
	after, badAfter := moment(in.query.Get("after"))
	before, badBefore := moment(in.query.Get("before"))
	if badAfter != nil || badBefore != nil {
		return nil, &problem{"invalid_date", "after and before must be RFC 3339 or YYYY-MM-DD."}
	}
	var selected []T
	for _, item := range items {
		if t := at(item); (after.IsZero() || t.After(after)) && (before.IsZero() || t.Before(before)) {
			selected = append(selected, item)
		}
	}
	if after.IsZero() || !ascending {
		slices.Reverse(selected)
	}
	return selected, nil
}

func moment(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, s)
}
