package measure

import (
	"math"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	for _, tt := range []struct {
		name, text   string
		user, system time.Duration
		ok           bool
	}{
		{"plain", "12 (haproxy) S 1 12 12 0 -1 4194560 900 0 0 0 150 250 0 0 20 0 2 0 8 1 2", 1500 * time.Millisecond, 2500 * time.Millisecond, true},
		{"a name with parentheses", "12 (a) b) (c) S 1 12 12 0 -1 4194560 900 0 0 0 1 2 0 0", 10 * time.Millisecond, 20 * time.Millisecond, true},
		{"cut off", "12 (haproxy) S 1 12", 0, 0, false},
		{"no number", "12 (haproxy) S 1 12 12 0 -1 4194560 900 0 0 0 x 2 0 0", 0, 0, false},
		{"empty", "", 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, s, err := parseStat(tt.text)
			if u != tt.user || s != tt.system || (err == nil) != tt.ok {
				t.Errorf("got %v, %v, %v", u, s, err)
			}
		})
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 9, 2}, 3},
		{nil, math.NaN()},
		{[]float64{1, math.NaN(), 2}, math.NaN()},
	} {
		if got := Median(tt.in); got != tt.want && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
			t.Errorf("median of %v: %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	var v []time.Duration
	for i := range 100 {
		v = append(v, time.Duration(100-i))
	}
	for _, tt := range []struct {
		in   []time.Duration
		want time.Duration
	}{{nil, 0}, {v[:1], 100}, {v[:20], 99}, {v, 95}} {
		if got := Percentile(tt.in, 95); got != tt.want {
			t.Errorf("of %d values: %d, want %d", len(tt.in), got, tt.want)
		}
	}
}
