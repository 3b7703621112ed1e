package credential

import "context"

// Keys are derived from the secret in force, and do not show it.
type Keys struct {
	Partition string // part of every cache key: another secret may belong to another workspace, and must not see its answers
	Seal      []byte // authenticates answers in a cache that others can write to

	secret Secret
}

// Keys returns the keys of the last usable secret. It asks no server.
func (t *Transport) Keys() *Keys {
	secret := t.last()
	if k := t.keys.Load(); k != nil && k.secret.Reveal() == secret.Reveal() {
		return k
	}
	upstream := t.Scheme + "://" + t.Host
	k := &Keys{string(secret.Derive("roamproxy cache partition of " + upstream)), secret.Derive("roamproxy cache seal of " + upstream), secret}
	t.keys.Store(k)
	return k
}

func (t *Transport) last() Secret {
	switch source := t.Source.(type) {
	case Renewer:
		return source.Last()
	case Key:
		return source.Value // whether it can be used is of interest to a call, and not to a hit
	}
	secret, _ := t.Source.Secret(context.Background()) // a Key needs no context
	return secret
}
