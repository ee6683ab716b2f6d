package traffic_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/traffic"
)

// source is a table whose one session sends a packet a second, and which takes time to read.
type source struct {
	now   time.Time
	takes time.Duration
	reads int
	since time.Time
	err   error
}

func (s *source) clock() time.Time { return s.now }

func (s *source) read(since time.Time) (traffic.Reading, error) {
	sent := uint64(s.now.Sub(start) / time.Second)
	s.now, s.since = s.now.Add(s.takes), since
	s.reads++
	return traffic.Reading{Sessions: 1, Active: []model.Session{session("c1", "172.16.1.2:1", 80, lastYear, sent)}}, s.err
}

// Whoever asks, and how often: a table is read each second, and no more than a fiftieth of the
// time; the rates are right whatever the time between two readings.
func TestMeterReadsAsOftenAsItMay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		takes time.Duration
		every time.Duration // somebody asks
		reads int           // in 100 s
	}{
		{"small", time.Millisecond, 2 * time.Second, 50},
		{"small, asked often", time.Millisecond, 100 * time.Millisecond, 100},
		{"a million", 350 * time.Millisecond, 2 * time.Second, 6},
		{"on a slow machine", 2 * time.Second, 2 * time.Second, 1},
	} {
		var m traffic.Meter
		table := source{takes: tt.takes}
		for at := time.Duration(0); at < 100*time.Second; at += tt.every {
			table.now = start.Add(at)
			r, err := m.Rates(table.clock, table.read)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case table.reads == 1 && r.Over != 0:
				t.Errorf("%s: one reading is over %v", tt.name, r.Over)
			case table.reads > 1 && r.Total != rate(1):
				t.Errorf("%s: got %+v at %v", tt.name, r.Total, at)
			}
		}
		if table.reads != tt.reads {
			t.Errorf("%s: %d readings, want %d", tt.name, table.reads, tt.reads)
		}
	}
}

func TestMeterStartsAnew(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		then func(*traffic.Meter, *source)
		over time.Duration
	}{
		"asked again":       {func(_ *traffic.Meter, s *source) { s.now = s.now.Add(2 * time.Second) }, 2 * time.Second},
		"not for long":      {func(_ *traffic.Meter, s *source) { s.now = s.now.Add(10 * time.Minute) }, 0},
		"the clock was set": {func(_ *traffic.Meter, s *source) { s.now = s.now.Add(-time.Minute) }, 0},
		"forgotten": {func(m *traffic.Meter, s *source) {
			m.Forget(s.now.Add(10 * time.Minute))
			s.now = s.now.Add(2 * time.Second)
		}, 0},
		"not to be forgotten": {func(m *traffic.Meter, s *source) {
			m.Forget(s.now.Add(30 * time.Second))
			s.now = s.now.Add(2 * time.Second)
		}, 2 * time.Second},
	} {
		var m traffic.Meter
		table := source{now: start.Add(time.Hour)}
		if _, err := m.Rates(table.clock, table.read); err != nil {
			t.Fatal(err)
		}
		tt.then(&m, &table)
		r, err := m.Rates(table.clock, table.read)
		if err != nil || r.Over != tt.over || table.reads != 2 {
			t.Errorf("%s: over %v after %d readings, %v; want %v", name, r.Over, table.reads, err, tt.over)
		}
	}
}

// Sessions that were idle for a minute are not read, unless that is less than since the last reading.
func TestMeterReadsWhatHasSent(t *testing.T) {
	t.Parallel()
	var m traffic.Meter
	table := source{now: start, takes: 3 * time.Second}
	for range 2 {
		if _, err := m.Rates(table.clock, table.read); err != nil {
			t.Fatal(err)
		}
		table.now = start.Add(160 * time.Second)
	}
	if table.reads != 2 || !table.since.Equal(start) {
		t.Errorf("%d readings, the last one since %v, want %v", table.reads, table.since, start)
	}
	table.now = start.Add(320 * time.Second)
	if _, err := m.Rates(table.clock, table.read); err != nil || table.reads != 3 || !table.since.Equal(start.Add(160*time.Second)) {
		t.Errorf("%d readings, the last one since %v; %v", table.reads, table.since, err)
	}
}

// What cannot be read is an error, and the next one is compared with the last that could.
func TestMeterError(t *testing.T) {
	t.Parallel()
	var m traffic.Meter
	table := source{now: start}
	broken := errors.New("no such map")
	for i, err := range []error{nil, broken, nil} {
		table.now, table.err = start.Add(time.Duration(i)*2*time.Second), err
		r, got := m.Rates(table.clock, table.read)
		if !errors.Is(got, err) {
			t.Errorf("%d: got %v", i, got)
		}
		if i == 2 && (r.Over != 4*time.Second || r.Total != rate(1)) {
			t.Errorf("after an error: %+v over %v", r.Total, r.Over)
		}
	}
}
