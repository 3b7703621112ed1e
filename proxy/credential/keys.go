package credential

import "context"

// Keys are what follows from the secret in use, and shows nothing of it.
type Keys struct {
	Partition string // of a cache: another secret may be that of another workspace, and sees none of its answers
	Seal      []byte // authenticates answers that are kept where others can write

	secret Secret
}

// Keys returns those of the secret that was last found usable. It asks no server.
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
	if source, ok := t.Source.(Renewer); ok {
		return source.Last()
	}
	secret, _ := t.Source.Secret(context.Background()) // of a Key, which asks nobody
	return secret
}
