package dhcp

import (
	"testing"

	"github.com/hostnat/hostnat/internal/store"
)

// BenchmarkExchanges is whole exchanges, DISCOVER to ACK, each lease on the
// disk before its ACK. The bar is 500 a second.
func BenchmarkExchanges(b *testing.B) {
	for _, bench := range []struct {
		name   string
		window int // clients at a time
	}{{"one by one", 1}, {"32 at a time", 32}} {
		b.Run(bench.name, func(b *testing.B) {
			s, err := store.Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			r := newRig(b, s)
			r.serve(bigConfig())
			defer r.stop()
			f := r.flood()
			b.ResetTimer()
			if _, err := f.exchanges(0, b.N, min(bench.window, b.N)); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "exchanges/s")
		})
	}
}
