package replay

import (
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/recording"
)

// TestNamesDoNotCommandTheTerminal: a recording may come from anybody.
func TestNamesDoNotCommandTheTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	Introduce(&out, &recording.Recording{Begin: recording.Begin{Hostnat: "1.0\x1b[2J", Kernel: "6.18\r\u009b"}, End: &recording.End{}})
	if got, want := out.String(), "recorded by hostnat 1.0?[2J on Linux 6.18??: 0 packets\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
