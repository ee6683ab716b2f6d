package reconcile

import (
	"context"
	"net"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// Try says what would become of a packet.
type Try func(context.Context, model.Trial) (model.Fate, error)

// Trials returns what has the data path decide about packets, without a change. One
// caller at a time: to load the programs takes a core for most of a second. done has to
// be called.
func (k *Kernel) Trials(ctx context.Context) (try Try, done func(), err error) {
	select {
	case k.trials <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	links, err := k.links.look(ctx)
	var programs *datapath.Trials
	if err == nil {
		programs, err = k.datapath.OpenTrials()
	}
	if err != nil {
		<-k.trials
		return nil, nil, err
	}
	try = func(_ context.Context, t model.Trial) (model.Fate, error) { return k.try(programs, links, t) }
	return try, func() { _ = programs.Close(); <-k.trials }, nil
}

func (k *Kernel) try(programs *datapath.Trials, links []host.Link, t model.Trial) (model.Fate, error) {
	v := view{}.withLinks(links)
	link, there := v.link(t.Link)
	if !there {
		return model.Fate{}, model.Errorf(model.Unavailable, "the host has no link %q, by which the packet would come", model.Clip(t.Link)).
			WithHint("'hostnat status' may say why")
	}
	trial := datapath.Trial{Protocol: t.Protocol, From: t.From, To: t.To, Entry: t.Entry, Interface: uint32(link.Index), TCPFlags: t.TCPFlags}
	if mac, err := net.ParseMAC(string(link.MAC)); err == nil {
		copy(trial.MAC[:], mac)
	}
	f, err := programs.Try(trial)
	if err != nil {
		return model.Fate{}, err
	}
	return k.lastNames().fate(f, links), nil
}

func (n names) fate(f datapath.Fate, links []host.Link) model.Fate {
	byIndex := linkNames(links)
	out := model.Fate{
		Program: f.Program, Link: byIndex[f.Interface], NAT: n.nats[f.NAT], Verdict: f.Verdict, Told: f.Told,
		From: f.From, To: f.To, Session: f.Session, Bound: f.Bound,
		Network: n.networks[f.Source.Network], Endpoint: n.endpoints[endpointKey{f.Source.Compartment, f.Source.Address}],
		OutLink: byIndex[f.OutInterface], NextHop: f.NextHop,
		TargetNetwork: n.networks[f.Target.Network], Target: n.endpoints[endpointKey{f.Target.Compartment, f.Target.Address}],
	}
	if f.Reason != 0 {
		out.Reason = f.Reason.String()
	}
	return out
}
