package cache

// Store holds entries. It is safe for concurrent use, and may lose an entry at any time.
type Store interface {
	// Get returns the entry of a key, or nil.
	Get(Key) *Entry
	// Set replaces the entry of a key, and reports whether the new one was accepted. If so, the next Get returns it. If not, the
	// next Get returns nil.
	Set(Key, *Entry) bool
	// Invalidate removes every entry whose route matches, and returns their number. No Get that begins later returns one.
	Invalidate(match func(route string) bool) int
	// Size returns the bytes and the number of all entries.
	Size() (bytes int64, entries int)
	Close()
}
