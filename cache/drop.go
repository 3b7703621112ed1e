package cache

// fill is a question on its way to Roam.
type fill struct {
	route   string
	dropped bool // a write came between: the answer may be of before
}

func (c *Cache) begin(route string) *fill {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &fill{route: route}
	c.under[f] = struct{}{}
	return f
}

// end forgets a fill and, if its answer is still true, keeps it.
func (c *Cache) end(f *fill, q Question, e *Entry) (stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.under, f)
	if e == nil || f.dropped {
		return false
	}
	return c.keep(q, e)
}

// Drop forgets every answer whose route matches, for every credential, and reports how many answers that were in memory. An
// answer that is on its way now is not kept, and nobody who asks from now on shares it. With replicas it is done when all who
// can be reached have done so too.
func (c *Cache) Drop(match func(route string) bool) int {
	n := c.forget(match)
	if c.o.Shared != nil {
		c.o.Shared.Drop(match)
		n += c.forget(match) // what came from the others meanwhile
	}
	return n
}

// forget drops from memory alone.
func (c *Cache) forget(match func(route string) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.under {
		f.dropped = f.dropped || match(f.route)
	}
	for key, f := range c.flights {
		if match(f.route) {
			delete(c.flights, key)
		}
	}
	return c.store.Drop(match)
}
