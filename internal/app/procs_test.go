package app

import (
	"testing"
	"time"
)

func TestProcs(t *testing.T) {
	// Each step is the load of one second, in processors; want is what is used after it.
	tests := []struct {
		name string
		most int
		load []float64
		want []int
	}{
		{"idle", 4, []float64{0, 0, 0, 0}, []int{1, 1, 1, 1}},
		{"a short peak", 4, []float64{1, 0.1, 1, 0.1}, []int{1, 1, 1, 1}},
		{"busy", 4, []float64{0.9, 0.9, 0.9}, []int{1, 2, 2}},
		{"busier", 4, []float64{1, 1, 1.9, 1.9, 2.9, 2.9, 4, 4, 4}, []int{1, 2, 2, 3, 3, 4, 4, 4, 4}},
		{"no more than there are", 2, []float64{1, 1, 2, 2, 2, 2}, []int{1, 2, 2, 2, 2, 2}},
		{"quiet again", 2, []float64{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, []int{1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1}},
		{"not lowered while it would be too few", 2, []float64{1, 1, .6, .6, .6, .6, .6, .6, .6, .6, .6, .6}, []int{1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := procs{now: 1, most: tt.most}
			for i, l := range tt.load {
				if got := p.step(time.Duration(l*float64(time.Second)), time.Second); got != tt.want[i] {
					t.Fatalf("after second %d (load %v): %d processors, want %d", i+1, l, got, tt.want[i])
				}
			}
		})
	}
}
