package explain

import (
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// bridged says what the network's bridge does with a frame that the programs leave
// to it: for an endpoint of the same network, which the bridge's ports may be kept
// apart from.
func (w World) bridged(t model.Trial, f model.Fate) model.Fate {
	n, found := w.networkNamed(f.Network)
	if f.Verdict != model.VerdictLeft || !found || !n.Subnet4().Contains(t.To.Addr()) || t.To.Addr() == n.Gateway4() {
		return f
	}
	if n.Isolation == model.IsolatedEndpoints {
		f.Verdict, f.Reason = model.VerdictDropped, event.IsolatedNetwork.String()
		return f
	}
	for _, e := range w.Config.Endpoints {
		if e.Network == n.Name && e.Address4() == t.To.Addr() {
			f.Target, f.TargetNetwork = e.Name, f.Network
		}
	}
	return f
}
