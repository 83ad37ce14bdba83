package measure

import (
	"math"
	"slices"
	"time"
)

// Median is the middle value, or the mean of the two in the middle; NaN for
// none, and where one is NaN.
func Median(v []float64) float64 {
	if len(v) == 0 || slices.ContainsFunc(v, math.IsNaN) {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Percentile is the smallest value that p of 100 are not above; 0 for none.
func Percentile(v []time.Duration, p int) time.Duration {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[(len(s)*p+99)/100-1]
}
