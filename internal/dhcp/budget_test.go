package dhcp

import (
	"testing"
	"time"
)

// A port has as many messages looked at as it has tokens, whatever others send, and gets them back
// with time.
func TestRatesAreEachPortsOwn(t *testing.T) {
	t.Parallel()
	var r rates
	admitted := func(port, messages int, at time.Time) (n int) {
		for range messages {
			if r.admits(port, at) {
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		name                 string
		port, messages, want int
		at                   time.Duration
	}{
		{"a flood", 1, 100_000, int(messages.Burst), 0},
		{"another port, meanwhile", 2, 10, 10, 0},
		{"who sends from nowhere known", 0, 100_000, int(messages.Burst), 0},
		{"the flood half a second later", 1, 100_000, int(messages.PerSecond) / 2, 500 * time.Millisecond},
		{"after a long silence", 1, 100_000, int(messages.Burst), time.Hour},
	} {
		if got := admitted(tt.port, tt.messages, start.Add(tt.at)); got != tt.want {
			t.Errorf("%s: %d are looked at, want %d", tt.name, got, tt.want)
		}
	}
	for port := range 3 * manyPorts {
		r.admits(port, start)
	}
	if len(r.ports) > manyPorts+1 {
		t.Errorf("%d ports are remembered", len(r.ports))
	}
}
