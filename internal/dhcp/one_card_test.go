package dhcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/hostnat/hostnat/internal/model"
)

// A machine asks as its boot ROM, as iPXE, as an installer and as its system. It is
// one client all the time, with one address and one name.
func TestOneCardIsOneClient(t *testing.T) {
	t.Parallel()
	rom := []dhcpv4.Modifier{identified(append([]byte{0}, make([]byte, 16)...)...), dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003001"))}
	asks := []struct {
		who  string
		with []dhcpv4.Modifier
	}{
		{"system", []dhcpv4.Modifier{identified(0xff, 1, 2, 3, 4, 0, 2, 0, 0, 0xab, 0x11), named("vm")}},
		{"boot ROM", rom},
		{"iPXE", []dhcpv4.Modifier{identified(1, 2, 0, 0, 0, 0, 0x70)}},
		{"installer", nil},
		{"another system", []dhcpv4.Modifier{identified(0, 'x')}},
	}
	for _, reserved := range []string{"", "172.16.1.9", "172.16.1.14"} {
		c := webConfig()
		if reserved != "" {
			c.Reservations = append(c.Reservations, model.Reservation{Network: "web", MAC: "02:00:00:00:00:70", Address: addr(reserved)})
		}
		s, table, want := scopeOf(c, model.HostFacts{MTU: 1500}), newTable(), reserved
		for i, ask := range asks {
			now := start.Add(time.Duration(i) * time.Minute)
			got := take(t, s, table, card(0x70, ask.with...), now)
			if want == "" {
				want = got
			}
			e, _ := table.of("02:00:00:00:00:70")
			if got != want || len(table.leases) != 1 || e.Hostname != "vm" {
				t.Errorf("the %s gets %s, want %s; it is called %q, and the table has %d leases", ask.who, got, want, e.Hostname, len(table.leases))
			}
		}
	}
}

// A tree that told clients apart by their identifiers has left two leases of one card.
func TestLeasesOfOneCard(t *testing.T) {
	t.Parallel()
	of := func(a, id string, ends time.Duration) model.Lease {
		return model.Lease{Network: "web", Address: addr(a), MAC: "02:00:00:00:00:70", ClientID: id, State: model.LeaseBound, Since: start, Expires: start.Add(ends)}
	}
	store := &memory{leases: map[netip.Addr]model.Lease{}}
	for _, l := range []model.Lease{of("172.16.1.15", "00aa", 2*time.Hour), of("172.16.1.16", "", time.Hour), of("172.16.1.17", "ff", time.Minute)} {
		store.leases[l.Address] = l
	}
	leases, err := NewLeases(store)
	if err != nil {
		t.Fatal(err)
	}
	known := leases.Leases(start)
	if len(known) != 1 || known[0].Address != addr("172.16.1.15") || len(store.leases) != 1 {
		t.Errorf("known: %+v; stored: %+v", known, store.leases)
	}
}
