package cache

// Store keeps entries. It may be used by many goroutines, and may lose an entry at any time.
type Store interface {
	// Get finds an entry, or nil.
	Get(Key) *Entry
	// Set keeps an entry in place of what the key had, and tells whether it was taken. If so, the next Get finds it. If not,
	// the next Get finds nothing.
	Set(Key, *Entry) bool
	// Drop forgets every entry whose route matches, and tells how many that were. No Get that begins after it finds one.
	Invalidate(match func(route string) bool) int
	// Size is how much is kept.
	Size() (bytes int64, entries int)
	Close()
}
