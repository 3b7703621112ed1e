package repeat

import (
	"context"
	"errors"
	"sync"
	"time"
)

// fake is a SharedStore in memory that can be made unreachable.
type fake struct {
	mu     sync.Mutex
	away   bool
	claims map[string]*claim
}

type claim struct {
	owner   string // "": it is settled
	record  *Record
	lease   time.Time
	expires time.Time
}

var errAway = errors.New("away")

func newFake() *fake { return &fake{claims: make(map[string]*claim)} }

func (f *fake) setAway(away bool) { f.mu.Lock(); f.away = away; f.mu.Unlock() }

func (f *fake) get(key string) *Record {
	c, now := f.claims[key], time.Now()
	switch {
	case c == nil || !now.Before(c.expires):
		delete(f.claims, key)
		return nil
	case c.owner != "" && !now.Before(c.lease):
		return &Record{State: Unknown, Fingerprint: c.record.Fingerprint, Status: 502}
	}
	return c.record
}

func (f *fake) Claim(_ context.Context, key, owner string, mine *Record, remember time.Duration) (*Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errAway
	}
	if r := f.get(key); r != nil {
		return r, nil
	}
	lease := time.Now().Add(Lease)
	f.claims[key] = &claim{owner, mine, lease, lease.Add(remember)}
	return nil, nil
}

func (f *fake) Renew(_ context.Context, key, owner string, remember time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return errAway
	}
	if c := f.claims[key]; c != nil && c.owner == owner {
		c.lease = time.Now().Add(Lease)
		c.expires = c.lease.Add(remember)
	}
	return nil
}

func (f *fake) Settle(_ context.Context, key, owner string, r *Record, life time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return errAway
	}
	if c := f.claims[key]; c != nil && owner != "" && c.owner != owner {
		return nil
	}
	delete(f.claims, key)
	if r != nil {
		f.claims[key] = &claim{record: r, expires: time.Now().Add(life)}
	}
	return nil
}

func (f *fake) Look(_ context.Context, key string, _ time.Duration) (*Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errAway
	}
	return f.get(key), nil
}

func (f *fake) Put(ctx context.Context, key string, r *Record, life time.Duration) error {
	return f.Settle(ctx, key, "", r, life)
}
