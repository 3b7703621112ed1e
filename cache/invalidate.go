package cache

// activeFetch is a fetch that runs.
type activeFetch struct {
	route       string
	invalidated bool // a write invalidated the route meanwhile: the answer may be older than the write
}

func (c *Cache) beginFetch(route string) *activeFetch {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &activeFetch{route: route}
	c.fetches[f] = struct{}{}
	return f
}

// endFetch removes a fetch from those that run, and stores its entry unless a write invalidated it.
func (c *Cache) endFetch(f *activeFetch, q Lookup, e *Entry) (stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fetches, f)
	if e == nil || f.invalidated {
		return false
	}
	return c.storeEntry(q, e)
}

// Invalidate removes every entry whose route matches, for every credential, and returns the number of those in memory. The answer
// of a fill that runs is not stored, and no later request shares it. With replicas Invalidate returns when all that can be reached
// have done so too.
func (c *Cache) Invalidate(match func(route string) bool) int {
	n := c.invalidateLocal(match)
	if c.o.Shared != nil {
		c.o.Shared.Invalidate(match)
		n += c.invalidateLocal(match) // entries that came from other replicas meanwhile
	}
	return n
}

// invalidateLocal removes entries from the memory of this replica.
func (c *Cache) invalidateLocal(match func(route string) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.fetches {
		f.invalidated = f.invalidated || match(f.route)
	}
	for key, f := range c.fills {
		if match(f.route) {
			delete(c.fills, key)
		}
	}
	return c.store.Invalidate(match)
}
