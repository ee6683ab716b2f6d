package datapath

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

func TestTablesFitTheMemory(t *testing.T) {
	t.Parallel()
	type sizes struct{ Sessions, Bindings, Index, Entries, Timers uint32 }
	for name, tt := range map[string]struct {
		bytes uint64
		want  sizes
	}{
		"as the object has it": {0, sizes{1 << 20, 1 << 18, 1 << 18, 1 << 20, 1 << 18}},
		"plenty":               {4 << 30, sizes{1 << 20, 1 << 18, 1 << 18, 1 << 20, 1 << 18}},
		"80 MiB":               {80 << 20, sizes{106496, 106496, 212992, 106496, 2*106496/17 + 16384}},
		"hardly any":           {1, sizes{16384, 65536, 131072, 16384, 2*16384/17 + 16384}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, err := kernel.LoadSpec()
			check(t, err)
			check(t, fit(spec, t.TempDir(), tt.bytes))
			m := spec.Maps
			got := sizes{m["sessions"].MaxEntries, m["bindings"].MaxEntries, m["binding_index"].MaxEntries,
				m["filter_entries"].MaxEntries, m["timers"].MaxEntries}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("sizes (-want +got):\n%s", diff)
			}
		})
	}
}
