package configs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"b", 1},
	{"kib", 1 << 10},
	{"kb", 1 << 10},
	{"k", 1 << 10},
	{"mib", 1 << 20},
	{"mb", 1 << 20},
	{"m", 1 << 20},
	{"gib", 1 << 30},
	{"gb", 1 << 30},
	{"g", 1 << 30},
}

// ParseByteSize reads a size: a number with an optional unit (k, kB, KiB, M,
// MB, MiB, G, GB, GiB; case does not matter). All units are powers of 1024.
func ParseByteSize(s string) (ByteSize, error) {
	text := strings.TrimSpace(s)
	end := strings.LastIndexAny(text, "0123456789.") + 1
	number, unit := text[:end], strings.ToLower(strings.TrimSpace(text[end:]))
	if number == "" || strings.Trim(number, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is not a size, such as 16MiB", clip(s))
	}
	factor := int64(1)
	if unit != "" {
		factor = 0
		for _, u := range sizeUnits {
			if u.name == unit {
				factor = u.bytes
			}
		}
		if factor == 0 {
			return 0, fmt.Errorf("%q is not a unit of size: use k, M or G (or KiB, MiB, GiB)", clip(unit))
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n < 0 || n > math.MaxInt64/factor {
			return 0, fmt.Errorf("%q is out of range", clip(s))
		}
		return ByteSize(n * factor), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) {
		return 0, fmt.Errorf("%q is not a size, such as 16MiB", clip(s))
	}
	f *= float64(factor)
	if f < 0 || f >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is out of range", clip(s))
	}
	return ByteSize(f), nil
}

// String gives the size in its largest whole unit, such as 16MiB.
func (b ByteSize) String() string {
	switch {
	case b == 0:
		return "0"
	case b%(1<<30) == 0:
		return strconv.FormatInt(int64(b>>30), 10) + "GiB"
	case b%(1<<20) == 0:
		return strconv.FormatInt(int64(b>>20), 10) + "MiB"
	case b%(1<<10) == 0:
		return strconv.FormatInt(int64(b>>10), 10) + "KiB"
	}
	return strconv.FormatInt(int64(b), 10)
}

// parseDuration reads Go's durations (200ms, 1m30s), with spaces before a unit
// and whole days (7d) besides.
func parseDuration(s string) (time.Duration, error) {
	text := strings.ReplaceAll(strings.TrimSpace(s), " ", "")
	if text == "0" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseInt(days, 10, 32); err == nil && n >= 0 && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, nil
	}
	if _, numErr := strconv.ParseFloat(text, 64); numErr == nil {
		return 0, fmt.Errorf("%q has no unit: did you mean %sms or %ss?", clip(s), clip(text), clip(text))
	}
	return 0, fmt.Errorf("%q is not a duration, such as 200ms, 5s or 1m30s", clip(s))
}

// formatDuration is Duration.String without zero minutes and seconds at the end.
func formatDuration(d time.Duration) string {
	s := d.String()
	if d == 0 {
		return "0"
	}
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// clip keeps what a message quotes of the input short.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
