package reconcile

import (
	"context"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// Recording returns what the flight recorder has since then. Names are those of
// now: what was deleted meanwhile has none.
func (k *Kernel) Recording(ctx context.Context, since time.Time) (r model.Recording, err error) {
	links, err := k.links.look(ctx)
	if err != nil {
		return r, err
	}
	names, byIndex := k.lastNames(), linkNames(links)
	err = k.datapath.RecordedDrops(since, func(d datapath.Drop) { r.Drops = append(r.Drops, names.drop(d, byIndex)) })
	if err != nil {
		return r, err
	}
	err = k.datapath.RecordedEnds(since, func(e datapath.Ended) {
		r.Ended = append(r.Ended, model.EndedSession{
			Session: names.session(e.Session), EndedAt: e.Ended, Idle: e.Idle, Cause: e.Cause, FromOutside: e.FromOutside,
		})
	})
	return r, err
}

func (n names) drop(d datapath.Drop, links map[uint32]string) model.Drop {
	out := model.Drop{
		First: d.First, Last: d.Last, Packets: d.Packets, Reason: d.Reason.String(), Program: d.Program,
		Link: linkName(links, d.Interface), FromOutside: d.FromOutside,
		EtherType: d.EtherType, MAC: d.MAC, Protocol: d.Protocol, From: d.From, To: d.To,
		TCPFlags: d.TCPFlags, ICMPType: d.ICMPType, ICMPCode: d.ICMPCode, Length: d.Length,
	}
	if d.FromOutside {
		return out
	}
	out.Network = n.networks[d.Network]
	if e, is := n.attached[out.Link]; is { // whatever address the packet bears
		out.Endpoint, out.SenderAddress = e.Name, e.Address4()
	} else if !isForged(d.Reason) {
		out.Endpoint = n.endpoint(d.Compartment, d.From.Addr())
	}
	if d.From.IsValid() {
		out.RemoteName = n.remote(d.Compartment, d.From.Addr(), d.To.Addr(), d.Last)
	}
	return out
}

// isForged reports whether a packet was dropped because somebody sent it in another
// one's name: its address is not its sender's.
func isForged(r event.Reason) bool {
	switch r {
	case event.SpoofedSource, event.MACElsewhere, event.AddressElsewhere, event.InsideAddressFromOutside:
		return true
	}
	return false
}
