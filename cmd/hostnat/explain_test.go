package main

import (
	"testing"
	"time"
)

func TestParseSince(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("here", 3600)
	now := time.Date(2026, 11, 30, 3, 5, 0, 0, zone)
	for _, tt := range []struct {
		text string
		want time.Time // zero: refused
	}{
		{"10m", now.Add(-10 * time.Minute)},
		{"90s", now.Add(-90 * time.Second)},
		{"03:04", time.Date(2026, 11, 30, 3, 4, 0, 0, zone)},
		{"03:04:30", time.Date(2026, 11, 30, 3, 4, 30, 0, zone)},
		{"03:10", time.Date(2026, 11, 29, 3, 10, 0, 0, zone)}, // not yet today
		{"2026-11-29", time.Date(2026, 11, 29, 0, 0, 0, 0, zone)},
		{"2026-11-29 22:10", time.Date(2026, 11, 29, 22, 10, 0, 0, zone)},
		{"2026-11-29T22:10:00Z", time.Date(2026, 11, 29, 22, 10, 0, 0, time.UTC)},
		{"2026-12-01", time.Time{}},
		{"-10m", time.Time{}},
		{"0s", time.Time{}},
		{"25:00", time.Time{}},
		{"yesterday", time.Time{}},
		{"", time.Time{}},
	} {
		got, err := parseSince(tt.text, now)
		if !got.Equal(tt.want) || (err != nil) != tt.want.IsZero() {
			t.Errorf("%q: %v, %v; want %v", tt.text, got, err, tt.want)
		}
	}
}
