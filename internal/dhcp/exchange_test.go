package dhcp

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/store"
)

// BenchmarkExchanges is whole exchanges, DISCOVER to ACK, each lease on the
// disk before its ACK. The bar is 500 a second. Probing has a client wait for as
// long as the real thing does.
func BenchmarkExchanges(b *testing.B) {
	probe := func(ctx context.Context, _ int, _ netip.Addr) (model.MAC, bool) {
		ctx, cancel := context.WithTimeout(ctx, 80*time.Millisecond)
		defer cancel()
		<-ctx.Done() // nobody answers
		return "", false
	}
	for _, bench := range []struct {
		name   string
		window int // clients at a time
		probe  func(context.Context, int, netip.Addr) (model.MAC, bool)
	}{{"one by one", 1, nil}, {"32 at a time", 32, nil}, {"32 at a time, probed", 32, probe}} {
		b.Run(bench.name, func(b *testing.B) {
			s, err := store.Open(store.Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			r := newRig(b, s)
			r.holderOf = bench.probe
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
