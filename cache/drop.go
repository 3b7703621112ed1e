package cache

// maxRoutes bounds the routes that are remembered. Roam has some 150, and SCIM's ids are one route: a workspace that fills this
// has a caller who makes routes up, and starts again with an empty cache.
const maxRoutes = 10_000

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
func (c *Cache) end(f *fill, key Key, e *Entry) (stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.under, f)
	if e == nil || f.dropped {
		return false
	}
	generation, known := c.routes[f.route]
	if !known {
		if len(c.routes) >= maxRoutes {
			c.routes = make(map[string]uint64)
			c.latest++ // so that no generation comes back
		}
		generation = c.latest
		c.routes[f.route] = generation
	}
	e.generation = generation
	return c.store.Set(key, e)
}

// Drop forgets every answer whose route matches, for every credential, and reports how many routes that were. An answer that
// is on its way now is not kept, and nobody who asks from now on shares it.
func (c *Cache) Drop(match func(route string) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	dropped := 0
	c.latest++
	for route := range c.routes {
		if match(route) {
			c.routes[route] = c.latest
			dropped++
		}
	}
	for f := range c.under {
		f.dropped = f.dropped || match(f.route)
	}
	for key, f := range c.flights {
		if match(f.route) {
			delete(c.flights, key)
		}
	}
	return dropped
}
