package limiter

import (
	"encoding/json"
	"errors"
	"time"
)

// Kept is what outlives a process.
type Kept struct {
	Level   float64   `json:"level"`                 // calls that could go
	At      time.Time `json:"at"`                    // by the wall clock, which goes on while the machine does not
	Paused  bool      `json:"paused,omitempty"`      // Roam asked for quiet, and no probe has succeeded since
	Until   time.Time `json:"paused_until,omitzero"` // the end of that quiet
	Learned Learned   `json:"learned,omitzero"`      // what is left of the quota for us; its moment by the wall clock

	// By these At is checked on the same run of the machine, should somebody set its clock. A StateFile adds them.
	Boot string        `json:"boot,omitempty"`
	Up   time.Duration `json:"up,omitempty"`
}

// stateVersion is of the state as it is written. The first version, which knew nothing of what is learned, is read as well.
const stateVersion = 2

func decodeState(body []byte) (k Kept, err error) {
	if err := json.Unmarshal(body, &k); err != nil || k.Level < 0 || k.At.IsZero() || !k.Learned.sound(k.At) {
		return k, errors.New("is damaged")
	}
	return k, nil
}
