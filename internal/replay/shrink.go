package replay

import (
	"strings"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
)

// mostRuns bounds how often a recording is run to make it smaller.
const mostRuns = 3000

// shrunk are tables whose rows may not matter for a difference: what lives. A row of the
// others is configuration.
var shrunk = []string{"sessions", "bindings", "binding_index", "filter_entries", "usages", "spare_ports", "spare_queues", "dependent_ports", "host_ports", "holders", "stations", "fragments"}

// Shrink makes a recording with a difference smaller: it leaves out packets and rows of
// tables as long as the same packet differs in the same way.
func Shrink(r *recording.Recording) (small *recording.Recording, report *Report, err error) {
	err = inside(r, func(b *bench, missing []string) error {
		s := &shrinker{bench: b, left: mostRuns}
		if report, err = b.runTo(r, -1, nil); err != nil {
			return err
		}
		if report.Difference == nil {
			return model.Errorf(model.Conflict, "every packet is as recorded: there is no difference to keep").WithHint("replay without --shrink says what was run")
		}
		if small, err = s.shrink(r, report.Difference); err != nil {
			return err
		}
		if report, err = b.run(small); err == nil {
			report.Missing = missing
		}
		return err
	})
	return small, report, err
}

type shrinker struct {
	*bench
	want string // the difference
	left int    // runs
	err  error
}

// kind is what must stay the same: whose difference it is, and in what.
func (d *Difference) kind() string {
	field, _, _ := strings.Cut(d.Fields[0], ":")
	return d.By + " " + field
}

func (s *shrinker) shrink(r *recording.Recording, d *Difference) (*recording.Recording, error) {
	s.want = d.kind()
	small := *r
	culprit := r.Packets[d.At]
	small.End = &recording.End{}
	// The packets before it; it is always the last one.
	before := lessOf(r.Packets[:d.At:d.At], func(some []recording.Packet) bool {
		return s.stays(&small, append(some[:len(some):len(some)], culprit), small.Rows)
	})
	small.Packets = append(before, culprit)
	for _, table := range shrunk {
		small.Rows = s.shrinkTable(&small, table)
	}
	small.End.Packets = len(small.Packets)
	return &small, s.err
}

// stays reports whether the last packet, and no earlier one, still differs in that way.
func (s *shrinker) stays(r *recording.Recording, packets []recording.Packet, rows []recording.Rows) bool {
	if s.left == 0 || s.err != nil {
		return false
	}
	s.left--
	try := *r
	try.Packets, try.Rows = packets, rows
	report, err := s.runTo(&try, -1, nil)
	if err != nil {
		s.err = err
		return false
	}
	d := report.Difference
	return d != nil && d.At == len(packets)-1 && d.kind() == s.want
}

// row is a row of a table and where it stands.
type row struct {
	part int
	row  [2][]byte
}

func (s *shrinker) shrinkTable(r *recording.Recording, table string) []recording.Rows {
	var all []row
	for i, part := range r.Rows {
		if part.Table == table {
			for _, one := range part.Rows {
				all = append(all, row{i, one})
			}
		}
	}
	with := func(some []row) []recording.Rows {
		rows := append([]recording.Rows(nil), r.Rows...)
		for i := range rows {
			if rows[i].Table == table {
				rows[i].Rows = nil
			}
		}
		for _, one := range some {
			rows[one.part].Rows = append(rows[one.part].Rows, one.row)
		}
		return rows
	}
	return with(lessOf(all, func(some []row) bool { return s.stays(r, r.Packets, with(some)) }))
}

// lessOf leaves out elements as long as keeps holds: first all, then halves, quarters and
// so on (Zeller's delta debugging, with complements alone).
func lessOf[T any](all []T, keeps func([]T) bool) []T {
	if len(all) == 0 || keeps(nil) {
		return nil
	}
	for size := (len(all) + 1) / 2; size > 0; {
		left := false
		for at := 0; at < len(all); {
			end := min(at+size, len(all))
			some := append(append(make([]T, 0, len(all)), all[:at]...), all[end:]...)
			if len(some) < len(all) && keeps(some) {
				all, left = some, true
				continue
			}
			at = end
		}
		switch {
		case size > 1:
			size /= 2
		case !left:
			size = 0
		}
	}
	return all
}
