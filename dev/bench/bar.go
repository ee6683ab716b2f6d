package bench

import "fmt"

// Bar is what hostnat's figure in a row has to reach: a ratio to another
// contender's or, without one, a figure.
type Bar struct {
	Against string
	Limit   float64
}

// Verdict is a bar beside what came out.
type Verdict struct {
	Row  string  `json:"row"`
	Want string  `json:"want"`
	Got  float64 `json:"got"`
	Met  bool    `json:"met"`
}

// judge compares a row with its bars; those without a figure are left out.
func judge(row Row, line *Line) (verdicts []Verdict) {
	for _, bar := range row.Bars {
		if v, ok := bar.judge(row, line); ok {
			verdicts = append(verdicts, v)
		}
	}
	return verdicts
}

func (b Bar) judge(row Row, line *Line) (Verdict, bool) {
	got, ok := line.Figures[Hostnat]
	what := row.Unit
	if b.Against != "" {
		got, ok = line.Ratios[b.Against]
		what = "× " + b.Against
	}
	v := Verdict{Row: row.Name, Got: got.Median}
	if row.Lower {
		v.Want, v.Met = fmt.Sprintf("≤ %g %s", b.Limit, what), got.Median <= b.Limit
	} else {
		v.Want, v.Met = fmt.Sprintf("≥ %g %s", b.Limit, what), got.Median >= b.Limit
	}
	return v, ok
}
