package limiter

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
)

//go:embed calls.lua
var callsScript string

var errCount = errors.New("limiter: redis: the count is not one of ours")

// Spend counts one more call of a tool on a day, for all replicas, unless it has made as many as it may. Untold are calls that
// it made here while nobody could be told, and known is what the replica believes without them, should Redis have lost the day.
// The error says that Redis is away, and that nobody may have been told of anything.
func (f *Fleet) Spend(day, tool string, most, untold, known int) (used int, ok bool, err error) {
	client := f.Client()
	if client == nil {
		return 0, false, f.Away()
	}
	ctx, cancel := context.WithTimeout(f.ctx, f.patience/2) // beside its token and its answer, 250 ms in all are not exceeded
	defer cancel()
	values, err := f.calls.Exec(ctx, client, []string{"{" + f.o.Prefix + "}:calls:" + day}, []string{tool, strconv.Itoa(most), strconv.Itoa(untold), strconv.Itoa(known)}).AsIntSlice()
	switch {
	case err != nil:
		return 0, false, fmt.Errorf("limiter: redis: %w", err)
	case len(values) != 2:
		return 0, false, errCount
	}
	return int(values[0]), values[1] == 1, nil
}
