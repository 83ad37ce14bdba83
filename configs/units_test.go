package configs

import (
	"testing"
	"time"
)

func TestByteSize(t *testing.T) {
	tests := []struct {
		in   string
		want ByteSize
		text string // "" for an error
	}{
		{"0", 0, "0"},
		{"1000", 1000, "1000"},
		{"64k", 64 << 10, "64KiB"},
		{"16MiB", 16 << 20, "16MiB"},
		{"16 mb", 16 << 20, "16MiB"},
		{"1GB", 1 << 30, "1GiB"},
		{"1.5M", 3 << 19, "1536KiB"},
		{"7B", 7, "7"},
		{"-1", 0, ""},
		{"", 0, ""},
		{"MiB", 0, ""},
		{"1TB", 0, ""},
		{"1e5", 0, ""},
		{"1..5k", 0, ""},
		{"9223372036854775807", 1<<63 - 1, "9223372036854775807"},
		{"9223372036854775807k", 0, ""},
		{"9999999999999999999999", 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ParseByteSize(tt.in)
			if (err != nil) != (tt.text == "") {
				t.Fatalf("got %v, %v", got, err)
			}
			if err == nil && (got != tt.want || got.String() != tt.text) {
				t.Errorf("got %d (%s), want %d (%s)", got, got, tt.want, tt.text)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
		text string // "" for an error
	}{
		{"0", 0, "0"},
		{"200ms", 200 * time.Millisecond, "200ms"},
		{" 1m 30s ", 90 * time.Second, "1m30s"},
		{"1h", time.Hour, "1h"},
		{"5m", 5 * time.Minute, "5m"},
		{"7d", 7 * 24 * time.Hour, "168h"},
		{"1.5s", 1500 * time.Millisecond, "1.5s"},
		{"200", 0, ""},
		{"d", 0, ""},
		{"-1d", 0, ""},
		{"999999999999999h", 0, ""},
		{"", 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := parseDuration(tt.in)
			if (err != nil) != (tt.text == "") {
				t.Fatalf("got %v, %v", got, err)
			}
			if err == nil && (got != tt.want || formatDuration(got) != tt.text) {
				t.Errorf("got %v (%s), want %v (%s)", got, formatDuration(got), tt.want, tt.text)
			}
		})
	}
}
