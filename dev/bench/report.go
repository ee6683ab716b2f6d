package bench

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Report is the outcome of a run.
type Report struct {
	Title      string    `json:"title,omitempty"` // of a table beside the main one
	Kernel     string    `json:"kernel"`
	CPUs       int       `json:"cpus"`
	Processor  string    `json:"processor"`
	Rounds     int       `json:"rounds"`
	Contenders []string  `json:"contenders"`
	Lines      []*Line   `json:"rows"`
	Bars       []Verdict `json:"bars"`
}

// Line is a row with its figures by contender, and the ratios of hostnat's to
// the others', each taken within one round.
type Line struct {
	Row
	Figures map[string]Spread    `json:"figures"`
	Ratios  map[string]Spread    `json:"ratios,omitempty"`
	Samples map[string][]float64 `json:"samples"`
}

// samples collects the figures of all rounds, rows in the order they came in.
type samples struct {
	lines []*Line
	byRow map[string]*Line
}

func newSamples() *samples { return &samples{byRow: map[string]*Line{}} }

func (s *samples) add(row Row, contender string, value float64) {
	line := s.byRow[row.Name]
	if line == nil {
		line = &Line{Row: row, Samples: map[string][]float64{}}
		s.byRow[row.Name] = line
		s.lines = append(s.lines, line)
	}
	line.Samples[contender] = append(line.Samples[contender], value)
}

// sumUp fills in what follows from the samples.
func (l *Line) sumUp() {
	l.Figures, l.Ratios = map[string]Spread{}, map[string]Spread{}
	for name, values := range l.Samples {
		l.Figures[name] = spreadOf(values)
	}
	ours := l.Samples[Hostnat]
	for name, theirs := range l.Samples {
		if name == Hostnat || len(ours) == 0 || slices.Contains(theirs, 0) {
			continue
		}
		ratios := make([]float64, len(ours))
		for i := range ours {
			ratios[i] = ours[i] / theirs[i]
		}
		l.Ratios[name] = spreadOf(ratios)
	}
}

func (b *Bench) report(s *samples) (*Report, error) {
	if len(s.lines) == 0 {
		return nil, ErrNoRows
	}
	r := &Report{Rounds: b.options.Rounds, CPUs: runtime.NumCPU(), Lines: s.lines, Bars: []Verdict{}}
	for _, c := range b.contenders {
		r.Contenders = append(r.Contenders, c.name)
	}
	for _, line := range s.lines {
		line.sumUp()
		r.Bars = append(r.Bars, judge(line.Row, line)...)
	}
	var err error
	r.Kernel, r.Processor, err = machine()
	return r, err
}

// machine names the kernel and the processor.
func machine() (kernel, processor string, err error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", "", fmt.Errorf("name of the kernel: %w", err)
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", "", fmt.Errorf("name of the processor: %w", err)
	}
	processor = "unknown processor"
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			processor = strings.TrimSpace(value)
			break
		}
	}
	return strings.TrimSpace(string(release)), processor, nil
}

// Met says whether all bars are met.
func (r *Report) Met() bool {
	for _, v := range r.Bars {
		if !v.Met {
			return false
		}
	}
	return true
}
