package replay

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/datapath/rerun"
	"github.com/hostnat/hostnat/internal/host/replica"
	"github.com/hostnat/hostnat/internal/natmodel"
	"github.com/hostnat/hostnat/internal/recording"
)

// Report is what a replay has found.
type Report struct {
	Packets     int            // that were looked at: all, or up to the difference
	AsRecorded  int            // by the programs
	AsModel     int            // of these, those of which the model says the same
	NotFollowed map[string]int // packets that could not be run, by why
	NotModelled map[string]int // packets that the model leaves out, by why
	Missing     []string       // of the host, what could not be made here
	Difference  *Difference    // the first; nil: there is none
}

// Who disagrees: the programs with the recording, or the model with the programs.
const (
	ByPrograms = "programs"
	ByModel    = "model"
)

// Difference is a packet that was not handled as recorded, or not as the model says.
type Difference struct {
	At     int // which of the recording's packets, from 0 on
	By     string
	Fields []string // in what
	Now    rerun.Outcome
	Model  *natmodel.Result // nil: the model does not follow here
	Before []string         // what the tables held of the packet's flow
}

// Run replays a recording. It needs root, and touches nothing of the host: a network
// namespace that nobody else sees is made and goes away.
func Run(r *recording.Recording) (report *Report, err error) {
	err = inside(r, func(b *bench, missing []string) error {
		if report, err = b.run(r); err == nil {
			report.Missing = missing
		}
		return err
	})
	return report, err
}

// bench is where a recording is run, any number of times.
type bench struct {
	*world
	again *rerun.Rerun
}

func inside(r *recording.Recording, fn func(b *bench, missing []string) error) error {
	w, err := newWorld(r)
	if err != nil {
		return err
	}
	return replica.Inside(r.Host, func(missing []string) error {
		again, err := rerun.Open(r.Rows)
		if err != nil {
			return err
		}
		defer again.Close()
		return fn(&bench{w, again}, missing)
	})
}

func (b *bench) run(r *recording.Recording) (*Report, error) {
	report, err := b.runTo(r, -1, nil)
	if err != nil || report.Difference == nil {
		return report, err
	}
	// Once more as far as that packet: what did the tables hold before it?
	d := report.Difference
	_, err = b.runTo(r, d.At, func(o *kernel.Objects, at time.Duration) (err error) {
		d.Before, err = flowIn(o, &r.Packets[d.At], &d.Now, at)
		return err
	})
	return report, err
}

// runTo runs the packets until there is a difference, or before the packet with that
// number, when it calls look.
func (b *bench) runTo(r *recording.Recording, to int, look func(*kernel.Objects, time.Duration) error) (*Report, error) {
	again := b.again
	if err := again.Reset(r.Rows, r.Begin.Hostnat, r.Ready.Monotonic); err != nil {
		return nil, err
	}
	report := &Report{NotFollowed: make(map[string]int), NotModelled: make(map[string]int)}
	follow := &follower{world: b.world, stale: true}
	at := r.Ready.Monotonic
	for i := range r.Packets {
		p := &r.Packets[i]
		at = max(at, r.Ready.Monotonic+p.Time.Sub(r.Ready.Time)) // of two CPUs one may be a moment behind
		if err := again.EndDue(at); err != nil {
			return nil, err
		}
		if i == to {
			return report, look(again.Tables(), at)
		}
		if err := report.step(again, follow, p, i, at); err != nil {
			return nil, fmt.Errorf("packet %d: %w", i+1, err)
		}
		if report.Difference != nil {
			break
		}
	}
	return report, nil
}

func (r *Report) step(again *rerun.Rerun, follow *follower, p *recording.Packet, i int, at time.Duration) error {
	if err := follow.prepare(again.Tables(), at); err != nil {
		return err
	}
	r.Packets++
	got, err := again.Step(p, at)
	var not rerun.NotFollowed
	if errors.As(err, &not) {
		r.NotFollowed[not.Error()]++
		follow.stale = true
		return nil
	}
	if err != nil {
		return err
	}
	fields := differences(p, &got)
	want, modelFields, why := follow.step(p, got.Frame, &got, at)
	d := &Difference{At: i, By: ByPrograms, Fields: fields, Now: got}
	if why == "" {
		d.Model = &want
	}
	switch {
	case len(fields) > 0: // what the model says of it is told too
		d.Fields = append(d.Fields, modelFields...)
		r.Difference = d
		return nil
	case len(modelFields) > 0:
		d.By, d.Fields = ByModel, modelFields
		r.Difference = d
		return nil
	case why != "":
		r.NotModelled[why]++
	default:
		r.AsModel++
	}
	r.AsRecorded++
	return nil
}

// flowIn says what the tables hold of a packet's flow, as recorded and as now.
func flowIn(o *kernel.Objects, p *recording.Packet, now *rerun.Outcome, at time.Duration) ([]string, error) {
	flows := make(map[string]bool) // by the inside end
	if p.Session != nil {
		flows[fmt.Sprint(p.Session.Protocol, p.Session.Internal)] = true
	}
	if s := now.Session; s != nil {
		flows[fmt.Sprint(s.Protocol, s.Internal)] = true
	}
	var list []string
	state, err := stateOf(o, at)
	for _, b := range state.Bindings {
		if flows[fmt.Sprint(b.Key.Protocol, b.Binding.Internal)] {
			list = append(list, fmt.Sprintf("binding %v %v %v, %d sessions%s%s", b.Key.Protocol, b.Binding.Internal, b.Key.External, b.Binding.Sessions,
				map[bool]string{true: ", of a mapping"}[b.Binding.Configured], map[bool]string{true: ", in hold-down"}[b.Binding.HoldDown]))
		}
	}
	for _, s := range state.Sessions {
		if flows[fmt.Sprint(s.Key.Protocol, s.Key.Internal)] {
			list = append(list, fmt.Sprintf("session %v %v %v %v %v, over in %v", s.Key.Protocol, s.Key.Internal, s.Session.External, s.Key.Remote, s.Session.State,
				(s.Session.Refreshed+s.Session.Lifetime-at).Round(time.Millisecond)))
		}
	}
	slices.Sort(list)
	return list, err
}
