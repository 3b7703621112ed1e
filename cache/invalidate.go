package cache

// activeFetch is a question on its way to Roam.
type activeFetch struct {
	route       string
	invalidated bool // a write came between: the answer may be of before
}

func (c *Cache) beginFetch(route string) *activeFetch {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &activeFetch{route: route}
	c.fetches[f] = struct{}{}
	return f
}

// endFetch forgets a fill and, if its answer is still true, keeps it.
func (c *Cache) endFetch(f *activeFetch, q Lookup, e *Entry) (stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fetches, f)
	if e == nil || f.invalidated {
		return false
	}
	return c.storeEntry(q, e)
}

// Drop forgets every answer whose route matches, for every credential, and reports how many answers that were in memory. An
// answer that is on its way now is not kept, and nobody who asks from now on shares it. With replicas it is done when all who
// can be reached have done so too.
func (c *Cache) Invalidate(match func(route string) bool) int {
	n := c.invalidateLocal(match)
	if c.o.Shared != nil {
		c.o.Shared.Invalidate(match)
		n += c.invalidateLocal(match) // what came from the others meanwhile
	}
	return n
}

// invalidateLocal drops from memory alone.
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
