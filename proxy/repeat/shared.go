package repeat

import (
	"context"
	"time"
)

// SharedStore is the store by which replicas share their records. Its methods bound their own time and may be called by many goroutines.
// They return an error while the store is unreachable. Then each replica uses its own memory, and a repeat that reaches another replica is
// sent.
type SharedStore interface {
	// Claim records that owner sends the write under key. If there is a record already, Claim returns that. A claim that is not renewed
	// within Lease becomes a record of unknown outcome for the time remember: its replica has died.
	Claim(ctx context.Context, key, owner string, mine *Record, remember time.Duration) (*Record, error)
	// Renew keeps a claim for another Lease.
	Renew(ctx context.Context, key, owner string, remember time.Duration) error
	// Settle replaces the claim of owner by r, or removes it if r is nil. If the claim is gone, it stores r.
	Settle(ctx context.Context, key, owner string, r *Record, life time.Duration) error
	// Look returns the record under key, or nil.
	Look(ctx context.Context, key string, remember time.Duration) (*Record, error)
	// Put stores r under key, or removes the record if r is nil.
	Put(ctx context.Context, key string, r *Record, life time.Duration) error
}

// Lease is how long a claim lives without being renewed: long enough for a replica that hangs for a moment, short enough for
// a client that repeats after the replica died.
const Lease = 6 * time.Second

// poll is the time between two looks at a write that another replica sends.
const poll = 100 * time.Millisecond

// consult asks the shared store about the write. When it returns, p is claimed or has ended.
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
		case err != nil: // another replica sends it, so this one must not
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
