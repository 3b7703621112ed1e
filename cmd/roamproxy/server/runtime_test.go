package server

import (
	"math"
	"testing"

	"roamproxy/cmd/roamproxy/config"
)

func TestMemoryLimitFitsConfigurationAndContainer(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name         string
		cache, queue int64
		connections  int
		container    uint64
		want         int64
	}{
		{"the usual, no container", 64 * mib, 64 * mib, 4096, 0, 300 * mib},
		{"the usual in 128 MiB", 64 * mib, 64 * mib, 4096, 128 * mib, 128 * mib / 100 * 85},
		{"in a large container", 64 * mib, 64 * mib, 4096, 4096 * mib, 300 * mib},
		{"a container whose bound is none", 64 * mib, 64 * mib, 4096, math.MaxUint64, 300 * mib},
		{"a larger cache", 512 * mib, 64 * mib, 4096, 0, 748 * mib},
		{"little of everything", 1 * mib, 1 * mib, 0, 0, 42 * mib},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config.Config{
				Cache:  config.Cache{MaxSize: config.Size(tt.cache)},
				Limits: config.Limits{QueueBytes: config.Size(tt.queue), MaxConnections: tt.connections},
			}
			if got := memoryLimit(c, tt.container); got != tt.want {
				t.Errorf("got %d bytes, want %d", got, tt.want)
			}
		})
	}
}
