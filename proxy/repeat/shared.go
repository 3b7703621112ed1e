package repeat

import (
	"context"
	"time"
)

// SharedStore is where replicas share what they remember. Its methods bound their own time, may be called by many goroutines, and
// return an error while the store cannot be reached: each replica then goes on with what it remembers itself, so a repeat
// that reaches another replica is sent.
type SharedStore interface {
	// Claim records that owner sends the write under key, unless there is a record, which it returns then. A claim that
	// is not renewed for Lease becomes, for remember, a record of unknown outcome: its replica has died.
	Claim(ctx context.Context, key, owner string, mine *Record, remember time.Duration) (*Record, error)
	// Renew keeps a claim for another Lease.
	Renew(ctx context.Context, key, owner string, remember time.Duration) error
	// Settle replaces the claim of owner by r, or removes it where r is nil. If the claim is gone it stores r.
	Settle(ctx context.Context, key, owner string, r *Record, life time.Duration) error
	// Look returns the record under key, or nil.
	Look(ctx context.Context, key string, remember time.Duration) (*Record, error)
	// Put stores r under key, or removes what is there where r is nil.
	Put(ctx context.Context, key string, r *Record, life time.Duration) error
}

// Lease is how long a claim lives without being renewed: long enough for a replica that hangs for a moment, short enough for
// a client that repeats after the replica died.
const Lease = 6 * time.Second

// poll is how often a write that another replica sends is looked at.
const poll = 100 * time.Millisecond

// consult asks the other replicas. On its way out, p is claimed, or has ended.
func (p *Pending) consult(ctx context.Context, over <-chan time.Time) (*Pending, *Answer, error) {
	remember, shared := p.memory.settings()
	if shared == nil || p.write.Resend {
		return p, nil, nil
	}
	if p.write.Key == "" {
		if remember == 0 {
			return p, nil, nil
		}
		r, err := shared.Look(ctx, p.id.String(), remember)
		if err != nil || r == nil {
			return p, nil, nil
		}
		return p.endWith(r)
	}
	return p.claim(ctx, over, shared, remember)
}

func (p *Pending) claim(ctx context.Context, over <-chan time.Time, shared SharedStore, remember time.Duration) (*Pending, *Answer, error) {
	mine := &Record{State: Running, Fingerprint: p.write.Fingerprint}
	for elsewhere := false; ; {
		r, err := shared.Claim(ctx, p.id.String(), p.owner, mine, remember)
		switch {
		case err != nil && !elsewhere:
			return p, nil, nil
		case err != nil: // another replica was seen to send it, so this one must not
		case r == nil:
			p.renewClaim(shared, remember)
			return p, nil, nil
		case r.State != Running || r.Fingerprint != p.write.Fingerprint:
			return p.endWith(r)
		}
		elsewhere = true
		again := time.NewTimer(poll)
		select {
		case <-again.C:
		case <-over:
			p.NotSent()
			return nil, nil, ErrInProgress
		case <-ctx.Done():
			again.Stop()
			p.NotSent()
			return nil, nil, context.Cause(ctx)
		}
	}
}

// endWith ends p, because another replica has sent the write.
func (p *Pending) endWith(r *Record) (*Pending, *Answer, error) {
	p.NotSent()
	return r.resultFor(p.write)
}

// renewClaim renews the claim until the write ends.
func (p *Pending) renewClaim(shared SharedStore, remember time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	p.shared, p.stop = shared, stop
	p.renews.Go(func() {
		again := time.NewTicker(Lease / 3)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				shared.Renew(ctx, p.id.String(), p.owner, remember)
			case <-ctx.Done():
				return
			}
		}
	})
}
