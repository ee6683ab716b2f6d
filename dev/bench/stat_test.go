package bench

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPercentile(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		values []float64
		p      float64
		want   float64
	}{
		{"one value", []float64{3}, 99, 3},
		{"middle of three", []float64{9, 1, 5}, 50, 5},
		{"between two", []float64{4, 2}, 50, 3},
		{"first", []float64{4, 2}, 0, 2},
		{"last", []float64{4, 2}, 100, 4},
		{"near the end", []float64{0, 100}, 99, 99},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := percentile(test.values, test.p); got != test.want {
				t.Errorf("percentile(%v, %v) = %v, want %v", test.values, test.p, got, test.want)
			}
		})
	}
}

func TestRatiosAreTakenWithinRounds(t *testing.T) {
	t.Parallel()
	s := newSamples()
	row := Row{Name: "packets", Unit: "kpkt/s"}
	for _, round := range [][2]float64{{200, 100}, {90, 30}, {400, 400}} {
		s.add(row, Hostnat, round[0])
		s.add(row, NFTables, round[1])
		s.add(row, Routing, 0)
	}
	line := s.lines[0]
	line.sumUp()
	want := map[string]Spread{NFTables: {Median: 2, Min: 1, Max: 3}} // none to zeros
	if diff := cmp.Diff(want, line.Ratios); diff != "" {
		t.Errorf("ratios (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Spread{Median: 200, Min: 90, Max: 400}, line.Figures[Hostnat]); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}
