package roamtest

import (
	"net/http"
	"strconv"
	"time"
)

// page cuts one page out of a list: its items, and what the answer says about the next. A cursor is a position, as Roam's
// are: not a snapshot.
func page[T any](r *Roam, req *http.Request, name string, items []T, usual, most int) (int, any) {
	query := req.URL.Query()
	limit, at := usual, 0
	var err error
	if v := query.Get("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 {
			return http.StatusBadRequest, problem{"invalid_limit", "limit must be a positive whole number."}
		}
	}
	if r.options.MaxLimit > 0 && limit > r.options.MaxLimit {
		return http.StatusBadRequest, problem{"invalid_limit", "limit is too large."}
	}
	limit = min(limit, most)
	if v := query.Get("cursor"); v != "" {
		if at, err = strconv.Atoi(v); err != nil || at < 0 {
			return http.StatusBadRequest, problem{"invalid_cursor", "cursor is not one of ours."}
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

// between keeps what lies in the range of after and before, each RFC 3339 or YYYY-MM-DD. Items come oldest first; they go
// newest first, unless the list turns ascending when after is given.
func between[T any](req *http.Request, items []T, at func(T) time.Time, turns bool) ([]T, *problem) {
	query := req.URL.Query()
	after, badAfter := moment(query.Get("after"))
	before, badBefore := moment(query.Get("before"))
	if badAfter != nil || badBefore != nil {
		return nil, &problem{"invalid_date", "after and before must be RFC 3339 or YYYY-MM-DD."}
	}
	var kept []T
	for _, item := range items {
		if t := at(item); (after.IsZero() || t.After(after)) && (before.IsZero() || t.Before(before)) {
			kept = append(kept, item)
		}
	}
	if after.IsZero() || !turns {
		reversed := make([]T, 0, len(kept))
		for i := len(kept) - 1; i >= 0; i-- {
			reversed = append(reversed, kept[i])
		}
		kept = reversed
	}
	return kept, nil
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
