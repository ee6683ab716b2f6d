package bench

import "slices"

// Spread sums up the figures of all rounds.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(values []float64) Spread {
	return Spread{Median: percentile(values, 50), Min: slices.Min(values), Max: slices.Max(values)}
}

// percentile returns the value below which p percent of the values lie,
// interpolated between neighbours; values must not be empty.
func percentile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := p / 100 * float64(len(sorted)-1)
	low := int(at)
	if low+1 == len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}
