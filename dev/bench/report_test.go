package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exampleReport has two rows in one round.
func exampleReport() *Report {
	s := newSamples()
	rate := Row{Name: "packets", Unit: "kpkt/s", Bars: []Bar{{Against: NFTables, Limit: 1.8}, {Against: Routing, Limit: 1.3}}}
	delay := Row{Name: "delay", Unit: "µs", Lower: true, Bars: []Bar{{Against: NFTables, Limit: 1}, {Limit: 7}}}
	for name, values := range map[string][2]float64{Hostnat: {1000, 6}, NFTables: {500, 5}} {
		s.add(rate, name, values[0])
		s.add(delay, name, values[1])
	}
	r := &Report{
		Kernel: "6.18", CPUs: 2, Processor: "a processor", Rounds: 1, Contenders: []string{Hostnat, NFTables}, Lines: s.lines,
	}
	for _, line := range r.Lines {
		line.sumUp()
		r.Bars = append(r.Bars, judge(line.Row, line)...)
	}
	return r
}

func TestBars(t *testing.T) {
	t.Parallel()
	r := exampleReport()
	want := []Verdict{ // the bar against routing, which did not take part, is left out
		{Row: "packets", Want: "≥ 1.8 × nftables", Got: 2, Met: true},
		{Row: "delay", Want: "≤ 1 × nftables", Got: 1.2},
		{Row: "delay", Want: "≤ 7 µs", Got: 6, Met: true},
	}
	if diff := cmp.Diff(want, r.Bars); diff != "" {
		t.Errorf("bars (-want +got):\n%s", diff)
	}
	if r.Met() {
		t.Error("all bars are said to be met")
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	r := exampleReport()
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteBars(&b); err != nil {
		t.Fatal(err)
	}
	want := `a processor, 2 CPUs, Linux 6.18
1 rounds, contenders in turns: median (least–most); ratios are taken within each round

                          hostnat          nftables  hostnat / nftables
packets  kpkt/s  1000 (1000–1000)     500 (500–500)    2.00 (2.00–2.00)
delay    µs      6.00 (6.00–6.00)  5.00 (5.00–5.00)    1.20 (1.20–1.20)

64-byte frames count the check sequence of 4 bytes. Frames are sent and counted by one CPU.
A ratio above 1 is better for hostnat in rows of rates, below 1 in rows of times (µs).

bar                         got         
packets  ≥ 1.8 × nftables  2.00      met
delay    ≤ 1 × nftables    1.20  not met
delay    ≤ 7 µs            6.00      met
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
