package roamtest

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

// Call is one entry of the journal.
type Call struct {
	Time       time.Time
	Method     string
	Path       string      // escaped, as it came
	Query      string      // raw, as it came
	Header     http.Header // as it came, without Authorization
	Credential string      // the first 8 hexadecimal digits of the SHA-256 of Authorization; "": there was none
	Admitted   bool        // it took a token
	Scripted   bool        // a fault applied to it
	Status     int         // 0 when it was not answered
}

// journalSize bounds the journal: the oldest calls are removed, and the counts go on. At 200 calls a second it has the last eight minutes.
const journalSize = 100_000

type journal struct {
	calls                    []*Call
	total, admitted, refused int
}

func (r *Roam) begin(req *http.Request) *Call {
	c := &Call{Time: time.Now(), Method: req.Method, Path: req.URL.EscapedPath(), Query: req.URL.RawQuery, Header: req.Header.Clone()}
	if a := req.Header.Get("Authorization"); a != "" {
		sum := sha256.Sum256([]byte(a))
		c.Credential = hex.EncodeToString(sum[:4])
	}
	c.Header.Del("Authorization")
	r.mu.Lock()
	defer r.mu.Unlock()
	j := &r.journal
	if len(j.calls) == journalSize {
		j.calls = append(j.calls[:0], j.calls[journalSize/2:]...)
	}
	j.calls = append(j.calls, c)
	j.total++
	return c
}

func (r *Roam) status(c *Call, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.Status = status
	switch {
	case status == http.StatusTooManyRequests:
		r.journal.refused++
	case c.Admitted:
		r.journal.admitted++
	}
}

// Journal returns a copy of the latest calls, oldest first.
func (r *Roam) Journal() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := make([]Call, len(r.journal.calls))
	for i, c := range r.journal.calls {
		calls[i] = *c
	}
	return calls
}

// Calls returns how many calls have arrived, refused ones included.
func (r *Roam) Calls() int { r.mu.Lock(); defer r.mu.Unlock(); return r.journal.total }

// Admitted returns how many calls took a token and were answered.
func (r *Roam) Admitted() int { r.mu.Lock(); defer r.mu.Unlock(); return r.journal.admitted }

// Refused returns how many calls were answered 429.
func (r *Roam) Refused() int { r.mu.Lock(); defer r.mu.Unlock(); return r.journal.refused }
