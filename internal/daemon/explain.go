package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/hostnat/hostnat/internal/doctor"
	"github.com/hostnat/hostnat/internal/explain"
	"github.com/hostnat/hostnat/internal/host/examine"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/pathmtu"
	"github.com/hostnat/hostnat/internal/reconcile"
	"github.com/hostnat/hostnat/internal/recording"
)

const probeTime = 20 * time.Second // that a probe takes at most

// Explain says what would become of a packet now.
func (s service) Explain(ctx context.Context, q explain.Question) (explain.Answer, error) {
	var a explain.Answer
	results, err := s.ExplainAll(ctx, []explain.Question{q})
	if err == nil {
		a, err = results[0].Answer, results[0].Err
	}
	if err == nil && q.Probe {
		err = s.probe(ctx, &a)
	}
	return a, err
}

// ExplainAll says what would become of each of some packets now, one for itself.
func (s service) ExplainAll(ctx context.Context, questions []explain.Question) ([]explain.Result, error) {
	w, err := s.world(ctx)
	if err != nil {
		return nil, err
	}
	var loaded reconcile.Try // once one of the questions is found to make sense
	done := func() {}
	defer func() { done() }()
	try := func(ctx context.Context, t model.Trial) (model.Fate, error) {
		if loaded == nil {
			try, release, err := s.kernel.Trials(ctx)
			if err != nil {
				return model.Fate{}, err
			}
			loaded, done = try, release
		}
		return loaded(ctx, t)
	}
	drops := sync.OnceValues(examine.Firewall)
	results := make([]explain.Result, len(questions))
	for i, q := range questions {
		a, err := explain.Ask(ctx, q, w, try)
		if link, is := a.ForHost(w); err == nil && is {
			var chains []examine.Chain
			if chains, err = drops(); err != nil {
				return nil, err
			}
			if chain := doctor.HostDrops(chains, link, a.Trial); chain != "" {
				a.HostDrops(chain)
			}
		}
		results[i] = explain.Result{Answer: a, Err: err}
	}
	return results, ctx.Err()
}

// probe has packets sent to the remote that an answer is about, one probe at a time.
func (s service) probe(ctx context.Context, a *explain.Answer) error {
	w, err := s.world(ctx)
	if err != nil {
		return err
	}
	if !a.Leaves() {
		a.NoPath()
		return nil
	}
	select {
	case s.probes <- struct{}{}:
		defer func() { <-s.probes }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	t := pathmtu.Target{To: a.Fate.To, From: a.Fate.From.Addr(), Link: a.Fate.OutLink}
	if a.Trial.Protocol != model.TCP { // no SYN to a port of something else
		t.To = netip.AddrPortFrom(t.To.Addr(), 0)
	}
	p, err := pathmtu.Probe(ctx, t)
	if errors.Is(err, context.DeadlineExceeded) {
		return model.Errorf(model.Unavailable, "%s answered too slowly to find out within %s how large packets may be", t.To.Addr(), probeTime).WithHint("try again")
	}
	if err != nil {
		return err
	}
	a.AddPath(w, p)
	return nil
}

// History says what has failed since then.
func (s service) History(ctx context.Context, since time.Time, f model.Filter) (explain.History, error) {
	if _, err := f.Parse(); err != nil {
		return explain.History{}, err
	}
	w, err := s.world(ctx)
	if err != nil {
		return explain.History{}, err
	}
	if f.Endpoint != "" {
		e, err := w.Config.Called(f.Endpoint)
		if err != nil {
			return explain.History{}, err
		}
		f.Endpoint = e.Name
	}
	selected, err := f.Parse()
	if err != nil {
		return explain.History{}, err
	}
	recording, err := s.kernel.Recording(ctx, since)
	if err != nil {
		return explain.History{}, err
	}
	review := explain.NewReview(w, since, selected, time.Now())
	for session, err := range s.kernel.Sessions(ctx, selected) {
		if err != nil {
			return explain.History{}, err
		}
		review.Live(session)
	}
	return review.History(recording), nil
}

// Recording is what the kernel has recorded since then.
func (s service) Recording(ctx context.Context, since time.Time) (model.Recording, error) {
	return s.kernel.Recording(ctx, since)
}

// Capture sends packets until ctx ends.
func (s service) Capture(ctx context.Context, wish model.CaptureWish) (<-chan model.CaptureBatch, error) {
	return s.kernel.Capture(ctx, wish)
}

// Snapshot writes what a recording begins with.
func (s service) Snapshot(ctx context.Context, write func(recording.Line) error) (recording.Ready, error) {
	return s.kernel.Snapshot(ctx, write)
}

// Told is what the data path was told last, as a recording has it.
func (s service) Told(context.Context) (json.RawMessage, error) { return s.kernel.Told() }

func (s service) world(ctx context.Context) (explain.World, error) {
	facts, err := s.kernel.Facts(ctx)
	if err != nil {
		return explain.World{}, err
	}
	return explain.World{Config: s.Inventory(ctx).Config.Effective().Unfolded(), Host: facts}, nil
}
