package redisquota

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

var errCount = errors.New("redisquota: the daily counter has an unexpected value")

// Spend counts one more call of a tool on a day, for all replicas, unless it has made as many as it may. unreported is the number of
// calls made here while Redis was unreachable. atLeast restores the counter if Redis lost the day. On error it is unknown whether
// Redis counted the call.
func (s *Session) Spend(day, tool string, most, unreported, atLeast int) (used int, ok bool, err error) {
	client := s.Client()
	if client == nil {
		return 0, false, s.Away()
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.patience)
	defer cancel()
	values, err := s.daily.Exec(ctx, client, []string{"{" + s.o.Prefix + "}:calls:" + day},
		[]string{tool, strconv.Itoa(most), strconv.Itoa(unreported), strconv.Itoa(atLeast)}).AsIntSlice()
	switch {
	case err != nil:
		return 0, false, fmt.Errorf("redisquota: %w", err)
	case len(values) != 2:
		return 0, false, errCount
	}
	return int(values[0]), values[1] == 1, nil
}
