package servertest

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/explain"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
)

// Recording has the drop of History.
func (s *Service) Recording(_ context.Context, since time.Time) (model.Recording, error) {
	h, err := s.History(context.Background(), since, model.Filter{})
	return model.Recording{Drops: h.Drops}, err
}

// History has one failure, whatever is asked for.
func (s *Service) History(_ context.Context, since time.Time, f model.Filter) (explain.History, error) {
	if s.Err != nil {
		return explain.History{}, s.Err
	}
	if _, err := f.Parse(); err != nil {
		return explain.History{}, err
	}
	last := since.Add(time.Minute)
	from, to := netip.MustParseAddrPort("172.16.1.2:40000"), netip.MustParseAddrPort("172.16.2.2:80")
	return explain.History{
		Since: since,
		Failures: []explain.Failure{{
			Outcome: explain.Dropped, Reason: event.IsolatedNetwork.String(), Count: 3, First: since, Last: last, Network: "web", Endpoint: "web1",
			What: "web1 → 172.16.2.2:80, tcp, at hv-web1", Meaning: event.IsolatedNetwork.Describe(),
			Remedies: []explain.Remedy{{Object: "network web, which is isolated", Command: "hostnat network set web isolation=off"}},
		}},
		Drops: []model.Drop{{
			First: since, Last: last, Packets: 3, Reason: event.IsolatedNetwork.String(), Program: "inside_ingress", Link: "hv-web1",
			Network: "web", Endpoint: "web1", EtherType: 0x0800, Protocol: uint8(model.TCP), From: from, To: to, TCPFlags: 2, Length: 74,
		}},
	}, nil
}

// Snapshot is of a data path without tables.
func (s *Service) Snapshot(_ context.Context, write func(recording.Line) error) (recording.Ready, error) {
	ready := recording.Ready{Told: json.RawMessage("{}")}
	return ready, write(recording.Line{Ready: &ready})
}

// Told is what Snapshot's data path was told.
func (s *Service) Told(context.Context) (json.RawMessage, error) { return json.RawMessage("{}"), nil }

// Capture sends what was prepared.
func (s *Service) Capture(ctx context.Context, _ model.CaptureWish) (<-chan model.CaptureBatch, error) {
	batches := make(chan model.CaptureBatch, 1)
	if len(s.Captured.Packets) > 0 {
		batches <- s.Captured
	}
	context.AfterFunc(ctx, func() { close(batches) })
	return batches, nil
}
