package dhcp

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/hostnat/hostnat/internal/model"
)

// Only an address that is new to its client is asked for.
func TestWhatIsProbed(t *testing.T) {
	t.Parallel()
	s, table := webScope(), newTable()
	discover := func(c client, now time.Time) Outcome {
		return Answer(s, table, c.message(dhcpv4.MessageTypeDiscover), Sender{Port: 1}, now)
	}
	out := discover(card(0x70), start)
	if !out.Probe.IsValid() || out.Probe != address(out.Reply.YourIPAddr) {
		t.Errorf("a new client: %+v", out)
	}
	if again := discover(card(0x70), start.Add(time.Second)); again.Reply != nil || again.Probe.IsValid() {
		t.Errorf("asked again meanwhile: %+v", again)
	}
	table.leases[out.Probe].probing = false
	if again := discover(card(0x70), start.Add(2*time.Second)); again.Reply == nil || again.Probe.IsValid() {
		t.Errorf("asked again after that: %+v", again)
	}
	for name, c := range map[string]client{"an endpoint": card(0x11), "a reservation": card(0x50), "a reserved name": card(0x60, named("printer"))} {
		if out := discover(c, start); out.Reply == nil || out.Probe.IsValid() {
			t.Errorf("%s: %+v", name, out)
		}
	}
	bound := card(0x71)
	a := take(t, s, table, bound, start)
	if out := discover(bound, start.Add(time.Minute)); out.Reply == nil || out.Probe.IsValid() {
		t.Errorf("who has it: %+v", out)
	}
	if out := discover(bound, start.Add(2*time.Hour)); out.Probe != addr(a) {
		t.Errorf("who had it once: %+v", out)
	}
}

// squatters have addresses that they did not ask for.
type squatters struct {
	mu    sync.Mutex
	has   func(netip.Addr) (model.MAC, bool)
	asked []netip.Addr
}

func (q *squatters) holderOf(_ context.Context, _ int, a netip.Addr) (model.MAC, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asked = append(q.asked, a)
	return q.has(a)
}

// askedFor are the addresses that were asked for so far.
func (q *squatters) askedFor() []netip.Addr {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.asked)
}

func TestTakenAddressIsNotOffered(t *testing.T) {
	t.Parallel()
	const squatter = model.MAC("02:00:00:00:00:99")
	q := &squatters{}
	q.has = func(a netip.Addr) (model.MAC, bool) { return squatter, a == q.asked[0] }
	store := &memory{leases: map[netip.Addr]model.Lease{}}
	r := newRig(t, store)
	r.holderOf = q.holderOf
	r.serve(webConfig())
	lease, err := r.client().Request(patience(t))
	if err != nil {
		t.Fatal(err)
	}
	got := address(lease.ACK.YourIPAddr)
	taken := q.askedFor()[0]
	if got == taken || len(q.askedFor()) < 2 {
		t.Errorf("the client got %s; asked for %v", got, q.askedFor())
	}
	states := map[string]model.LeaseState{}
	stored, _ := store.Leases()
	for _, table := range stored {
		states[table.Address.String()+" "+string(table.MAC)] = table.State
	}
	want := map[string]model.LeaseState{
		taken.String() + " " + string(squatter):              model.LeaseDeclined,
		got.String() + " " + lease.ACK.ClientHWAddr.String(): model.LeaseBound,
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

// The client itself may still have the address that it is given again.
func TestClientAnswersItsOwnProbe(t *testing.T) {
	t.Parallel()
	r := newRig(t, &memory{leases: map[netip.Addr]model.Lease{}})
	own, err := r.machine.Link("eth0")
	if err != nil {
		t.Fatal(err)
	}
	q := &squatters{has: func(netip.Addr) (model.MAC, bool) { return model.MAC(own.HardwareAddr.String()), true }}
	r.holderOf = q.holderOf
	r.serve(webConfig())
	if _, err := r.client().Request(patience(t)); err != nil || len(q.askedFor()) != 1 {
		t.Errorf("%v; asked for %v", err, q.askedFor())
	}
}

// Where all is taken, the client is told nothing, and no more is set aside than
// declines may take.
func TestEverythingIsTaken(t *testing.T) {
	t.Parallel()
	q := &squatters{has: func(netip.Addr) (model.MAC, bool) { return "02:00:00:00:00:99", true }}
	r := newRig(t, &memory{leases: map[netip.Addr]model.Lease{}})
	r.holderOf = q.holderOf
	r.serve(webConfig())
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if offer, err := r.client().DiscoverOffer(ctx); err == nil {
		t.Errorf("offered %s", offer.YourIPAddr)
	}
	declined := 0
	for _, table := range r.leases.Leases(time.Now()) {
		if table.State == model.LeaseDeclined {
			declined++
		}
	}
	if s := webScope(); declined != max(1, s.size()/declineShare) || len(q.askedFor()) < maxChoices {
		t.Errorf("%d of %d addresses set aside, asked for %v", declined, s.size(), q.askedFor())
	}
}
