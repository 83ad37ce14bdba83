package main

import (
	"encoding/json"
	"math"

	"github.com/bellwetherdb/bellwether/integration/measure"
)

// figures are what one slice of time, or the median of several, gives. A figure
// that was not measured is NaN.
type figures struct {
	Rate      float64 // units per second
	P50       float64 // ms
	P95       float64 // ms
	P99       float64 // ms
	CPU       float64 // of the proxy, µs per unit
	User      float64 // of CPU, in the proxy's own code
	Memory    float64 // of the proxy, bytes: resident, or of one idle session
	Followers float64 // share of the SELECTs that the followers ran, of 1
}

func noFigures() figures {
	n := math.NaN()
	return figures{n, n, n, n, n, n, n, n}
}

// number is null in JSON where there is none.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

func (f figures) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Rate, P50, P95, P99, CPU, User, Memory, Followers number
	}{
		number(f.Rate), number(f.P50), number(f.P95), number(f.P99), number(f.CPU), number(f.User), number(f.Memory), number(f.Followers),
	})
}

// median is the median of each figure.
func median(all []figures) figures {
	pick := func(f func(*figures) float64) float64 {
		v := make([]float64, len(all))
		for i := range all {
			v[i] = f(&all[i])
		}
		return measure.Median(v)
	}
	return figures{
		Rate:      pick(func(f *figures) float64 { return f.Rate }),
		P50:       pick(func(f *figures) float64 { return f.P50 }),
		P95:       pick(func(f *figures) float64 { return f.P95 }),
		P99:       pick(func(f *figures) float64 { return f.P99 }),
		CPU:       pick(func(f *figures) float64 { return f.CPU }),
		User:      pick(func(f *figures) float64 { return f.User }),
		Memory:    pick(func(f *figures) float64 { return f.Memory }),
		Followers: pick(func(f *figures) float64 { return f.Followers }),
	}
}
