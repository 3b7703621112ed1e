package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Duration is a time with a unit, such as 30s, 5m or 200ms.
type Duration time.Duration

func (d *Duration) parse(s string) error {
	v, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return fmt.Errorf("want a duration with a unit, such as 30s, 5m or 200ms, not %q", s)
	case v < 0:
		return fmt.Errorf("want a duration of at least zero, not %s", s)
	}
	*d = Duration(v)
	return nil
}

// String returns 2m rather than 2m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Size is a number of bytes, such as 64MiB, 512KiB or 1000.
type Size int64

func (s *Size) parse(text string) error {
	number, factor := text, float64(1)
	for _, u := range units() {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, factor = strings.TrimSpace(n), float64(u.bytes)
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 || v*factor > math.MaxInt64/2 || v != v {
		return fmt.Errorf("want a size such as 64MiB, 512KiB or 1000 (bytes), not %q", text)
	}
	*s = Size(v * factor)
	return nil
}

// String returns the size in the largest unit that needs no fraction.
func (s Size) String() string {
	for _, u := range units() {
		if s != 0 && int64(s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return "0B"
}

type unit struct {
	name  string
	bytes int64
}

func units() []unit { return []unit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}} }

// Field is the name of a field of a JSON body, or false for none.
type Field string

func (f *Field) parse(s string) error {
	switch {
	case s == "false" || s == "":
		*f = ""
	case s == "true" || strings.ContainsAny(s, " .[]{}\"'"):
		return fmt.Errorf("want the name of the field that holds the subject, such as chatId, or false; not %q", s)
	default:
		*f = Field(s)
	}
	return nil
}

// String returns false for no name.
func (f Field) String() string {
	if f == "" {
		return "false"
	}
	return string(f)
}

// TTL is a Duration or the word origin.
type TTL struct {
	Duration Duration
	Origin   bool
}

func (t *TTL) parse(s string) error {
	if s == "origin" {
		*t = TTL{Origin: true}
		return nil
	}
	*t = TTL{}
	if err := t.Duration.parse(s); err != nil {
		hint := ""
		if slices.Contains([]string{"off", "no", "none", "never", "false"}, strings.ToLower(s)) {
			hint = "; never is written 0"
		}
		return fmt.Errorf("%w, or origin, or 0 for never%s", err, hint)
	}
	return nil
}

func (t TTL) String() string {
	if t.Origin {
		return "origin"
	}
	return t.Duration.String()
}

// DailyCalls is a number of calls a day; 0, which is written unlimited, means no limit.
type DailyCalls int

func (d *DailyCalls) parse(s string) error {
	if s == "unlimited" {
		*d = 0
		return nil
	}
	v, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("want a whole number, or unlimited, not %q", s)
	}
	*d = DailyCalls(v)
	return nil
}

// String returns unlimited for 0.
func (d DailyCalls) String() string {
	if d == 0 {
		return "unlimited"
	}
	return strconv.Itoa(int(d))
}
