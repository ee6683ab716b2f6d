package dhcp

import (
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/hostnat/hostnat/internal/model"
)

// Messages that come together are stored together; the last word counts.
func TestBatch(t *testing.T) {
	t.Parallel()
	store := &memory{leases: map[netip.Addr]model.Lease{}}
	b, err := NewLeases(store)
	if err != nil {
		t.Fatal(err)
	}
	s := webScope()
	request := func(c client, a string) arrival {
		return arrival{c.message(dhcpv4.MessageTypeRequest, wants(a), server("172.16.1.1")), Sender{Port: 1}}
	}
	ticks := b.Watch()
	outcomes, err := b.answer(s, []arrival{
		request(card(0x70), "172.16.1.15"), request(card(0x70), "172.16.1.16"), request(card(0x71), "172.16.1.15"),
		{card(0x71).message(dhcpv4.MessageTypeRelease, has("172.16.1.15")), Sender{Port: 1}}, request(card(0x72), "172.16.1.15"),
	}, start)
	if err != nil || len(outcomes) != 5 {
		t.Fatalf("%d outcomes, %v", len(outcomes), err)
	}
	owners := map[string]model.MAC{}
	for a, table := range store.leases {
		owners[a.String()] = table.MAC
	}
	if len(owners) != 2 || owners["172.16.1.16"] != "02:00:00:00:00:70" || owners["172.16.1.15"] != "02:00:00:00:00:72" {
		t.Errorf("stored: %v", owners)
	}
	select {
	case <-ticks:
	default:
		t.Error("nobody is told")
	}
	// Only the leases of networks and addresses that are there are kept.
	moved := webConfig().Networks[0]
	moved.Subnets = []netip.Prefix{netip.MustParsePrefix("10.66.0.0/24")}
	if err := b.Keep([]model.Network{moved}); err != nil || len(store.leases) != 0 || len(b.Leases(start)) != 0 {
		t.Errorf("%v, stored %v, known %v", err, store.leases, b.Leases(start))
	}
}

// An endpoint that is detached right after it was attached leaves its address to
// whoever asks, its own machine say.
func TestForgottenIsNotHeld(t *testing.T) {
	t.Parallel()
	b, err := NewLeases(&memory{leases: map[netip.Addr]model.Lease{}})
	if err != nil {
		t.Fatal(err)
	}
	if !b.Hold("web", addr("172.16.1.15"), "02:00:00:00:00:70", start) {
		t.Fatal("a free address cannot be held")
	}
	if _, _, err := b.Forget("web", addr("172.16.1.15")); err != nil {
		t.Fatal(err)
	}
	outcomes, err := b.answer(webScope(), []arrival{{card(0x70).message(dhcpv4.MessageTypeDiscover, wants("172.16.1.15")), Sender{Port: 1}}}, start)
	if err != nil || short(outcomes[0]).Address != "172.16.1.15" {
		t.Errorf("%v: %+v", err, short(outcomes[0]))
	}
}
