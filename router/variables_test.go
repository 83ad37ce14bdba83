package router

import (
	"slices"
	"testing"
)

func TestVariablesNamed(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", nil},
		{"SET sql_mode=''", nil},
		{"SET @@SQL_Mode='', @x=@@time_zone", []string{"sql_mode", "time_zone"}},
		{"SET @@session.sql_mode=@@global.sql_mode", nil},
		{"PREPARE p FROM 'SET @@a=1'", []string{"a"}},
		{"@@", nil},
		{"@@@@a", []string{"a"}},
	}
	for _, tt := range tests {
		if got := slices.Collect(VariablesNamed([]byte(tt.text))); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}
