package webhook

import (
	"sync"
	"time"
)

const (
	// idTTL is how long the id of a delivery is remembered: twice the tolerance. After that its timestamp is outdated.
	idTTL = 2 * tolerance
	// maxIDs bounds the remembered ids. A workspace with 16 events a second reaches it within idTTL.
	maxIDs = 10_000
	// maxID bounds an id, in bytes. Roam's have about 40.
	maxID = 256
)

// deliveryIDs remembers the ids of genuine deliveries. The zero value is ready.
type deliveryIDs struct {
	mu  sync.Mutex // guards the following
	ids map[string]time.Time
	old []string // the same ids, oldest first
}

// add remembers an id, and reports false if it was there.
func (d *deliveryIDs) add(id string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ids == nil {
		d.ids = make(map[string]time.Time)
	}
	for len(d.old) > 0 && (len(d.old) >= maxIDs || now.Sub(d.ids[d.old[0]]) > idTTL) {
		delete(d.ids, d.old[0])
		d.old = d.old[1:]
	}
	if _, ok := d.ids[id]; ok {
		return false
	}
	d.ids[id] = now
	d.old = append(d.old, id)
	return true
}

// remove forgets an id, so that the same delivery is accepted again.
func (d *deliveryIDs) remove(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.ids, id) // add removes it from old when it is due
}
