package dhcp

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"pgregory.net/rapid"

	"github.com/hostnat/hostnat/internal/model"
)

func TestLifeOfALease(t *testing.T) {
	t.Parallel()
	s, table, now := webScope(), newTable(), start
	a := take(t, s, table, card(0x70), now)
	if again := take(t, s, table, card(0x70), now); again != a {
		t.Errorf("the same client gets %s, then %s", a, again)
	}
	release := card(0x70).message(dhcpv4.MessageTypeRelease, has(a), server("172.16.1.1"))
	if out := Answer(s, table, release, Sender{Port: 1}, now); out.Reply != nil || len(out.Changed) != 1 || out.Changed[0].State != model.LeaseReleased {
		t.Errorf("RELEASE: %+v", out)
	}
	if out := Answer(s, table, release, Sender{Port: 1}, now); len(out.Changed) != 0 {
		t.Errorf("RELEASE again: %+v", out)
	}
	// Another client does not get it while others are free; the first does.
	for i := range byte(3) {
		if other := take(t, s, table, card(0x80+i), now); other == a {
			t.Errorf("%s is given away though others are free", a)
		}
	}
	if back := take(t, s, table, card(0x70), now.Add(time.Hour)); back != a {
		t.Errorf("the client comes back and gets %s, not %s", back, a)
	}
}

func TestForeignReleaseAndDecline(t *testing.T) {
	t.Parallel()
	s, table := webScope(), newTable()
	a := take(t, s, table, card(0x70), start)
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeDecline} {
		if out := Answer(s, table, card(0x71).message(kind, has(a), wants(a)), Sender{Port: 1}, start); len(out.Changed)+len(out.Dropped) != 0 {
			t.Errorf("%s by another: %+v", kind, out)
		}
	}
	// An endpoint's address stays the endpoint's.
	take(t, s, table, card(0x11), start)
	if out := Answer(s, table, card(0x11).message(dhcpv4.MessageTypeDecline, wants("172.16.1.11")), Sender{Port: 1}, start); len(out.Changed) != 0 {
		t.Errorf("an endpoint's DECLINE: %+v", out)
	}
	if again := take(t, s, table, card(0x11), start); again != "172.16.1.11" {
		t.Errorf("after DECLINE it gets %s", again)
	}
}

func TestDeclinedAddressIsKeptFromAll(t *testing.T) {
	t.Parallel()
	s, table := webScope(), newTable()
	a := take(t, s, table, card(0x70), start)
	decline := card(0x70).message(dhcpv4.MessageTypeDecline, wants(a), server("172.16.1.1"))
	if out := Answer(s, table, decline, Sender{Port: 1}, start); len(out.Changed) != 1 || out.Changed[0].State != model.LeaseDeclined {
		t.Fatalf("DECLINE: %+v", out)
	}
	for i, c := range []client{card(0x70), card(0x71)} {
		if got := take(t, s, table, c, start.Add(time.Minute)); got == a {
			t.Errorf("client %d gets the declined %s", i, got)
		}
	}
	if !table.free(addr(a), "", start.Add(declineTime)) {
		t.Error("it is kept for ever")
	}
	// Who declines everything takes out a part alone.
	declined := 0
	for range 20 {
		now := start.Add(2 * time.Minute)
		b := take(t, s, table, card(0x72), now)
		Answer(s, table, card(0x72).message(dhcpv4.MessageTypeDecline, wants(b)), Sender{Port: 1}, now)
	}
	for _, e := range table.leases {
		if e.State == model.LeaseDeclined {
			declined++
		}
	}
	if most := max(1, s.size()/declineShare); declined > most {
		t.Errorf("%d addresses are declined, %d may be", declined, most)
	}
}

func TestClonesWithOneClientID(t *testing.T) {
	t.Parallel()
	s, table := webScope(), newTable()
	id := identified(0xff, 1, 2, 3, 4, 0, 2)
	if a, b := take(t, s, table, card(0x70, id), start), take(t, s, table, card(0x71, id), start); a == b {
		t.Errorf("two clones of one VM both get %s", a)
	}
	// Type 1 and the MAC is no identifier of its own.
	plain, typed := take(t, s, table, card(0x72), start), take(t, s, table, card(0x72, identified(1, 2, 0, 0, 0, 0, 0x72)), start)
	if plain != typed {
		t.Errorf("without identifier %s, with its MAC as identifier %s", plain, typed)
	}
}

func TestOffersEndSoon(t *testing.T) {
	t.Parallel()
	s, table := webScope(), newTable()
	discover := func(c client, now time.Time) said {
		return short(Answer(s, table, c.message(dhcpv4.MessageTypeDiscover, wants("172.16.1.15")), Sender{Port: 1}, now))
	}
	if got := discover(card(0x70), start); got.Address != "172.16.1.15" {
		t.Fatalf("%+v", got)
	}
	if got := discover(card(0x71), start.Add(offerTime-1)); got.Address == "172.16.1.15" {
		t.Error("an offered address is offered to another")
	}
	if got := discover(card(0x72), start.Add(offerTime)); got.Address != "172.16.1.15" {
		t.Errorf("an old offer is kept: %+v", got)
	}
}

// A port that makes clients up gets part of the addresses; others, and whoever
// has a claim, go on.
func TestFlood(t *testing.T) {
	t.Parallel()
	c := webConfig()
	c.Networks[0].Ranges = nil
	s, table := scopeOf(c, model.HostFacts{MTU: 1500}), newTable()
	bob := take(t, s, table, card(0x70), start)
	made := func(i int) client {
		return client{mac: net.HardwareAddr{2, 9, 9, 9, byte(i >> 8), byte(i)}}
	}
	offers, bound := 0, 0
	for i := range 5000 {
		m := made(i)
		now := start.Add(time.Duration(i) * time.Millisecond)
		offer := short(Answer(s, table, m.message(dhcpv4.MessageTypeDiscover), Sender{Port: 66}, now))
		if offer.Kind == "" {
			continue
		}
		offers++
		if i%2 == 0 { // half of them do not go on
			if short(Answer(s, table, m.message(dhcpv4.MessageTypeRequest, wants(offer.Address), server("172.16.1.1")), Sender{Port: 66}, now)).Kind == "ACK" {
				bound++
			}
		}
	}
	if bound == 0 || bound > 254*3/4 {
		t.Errorf("the flood got %d of 254 addresses by %d offers", bound, offers)
	}
	now := start.Add(6 * time.Second)
	for i, c := range []client{card(0x11), card(0x50), card(0x60, named("printer")), card(0x70), card(0x90), card(0x91)} {
		offer := short(Answer(s, table, c.message(dhcpv4.MessageTypeDiscover), Sender{Port: 7}, now))
		if offer.Kind != "OFFER" {
			t.Errorf("honest client %d gets nothing during a flood: %+v", i, offer)
		}
	}
	if back := take(t, s, table, card(0x70), now); back != bob {
		t.Errorf("who had %s gets %s", bob, back)
	}
}

func TestFullAndReused(t *testing.T) {
	t.Parallel()
	s, table := webScope(), newTable()
	taken := map[string]bool{}
	for i := range byte(7) { // .10 and .13 to .18
		a := take(t, s, table, client{mac: net.HardwareAddr{2, 1, 0, 0, 0, i}}, start.Add(time.Duration(i)*time.Minute))
		taken[a] = true
	}
	if len(taken) != 7 {
		t.Fatalf("seven clients got %v", taken)
	}
	eighth := client{mac: net.HardwareAddr{2, 1, 0, 0, 0, 9}}
	if got := Answer(s, table, eighth.message(dhcpv4.MessageTypeDiscover), Sender{Port: 2}, start.Add(10*time.Minute)); got.Reply != nil {
		t.Errorf("an eighth gets %+v", short(got))
	}
	// When leases end, the address goes that was not used for longest.
	first, _ := table.of("02:01:00:00:00:00")
	if got := take(t, s, table, eighth, start.Add(2*time.Hour)); got != first.Address.String() {
		t.Errorf("it gets %s, not %s, which was not used for longest", got, first.Address)
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	s, table := webScope(), newTable()
	if !table.hold(addr("172.16.1.15"), "02:00:00:00:00:99", start) {
		t.Fatal("a free address cannot be held")
	}
	got := short(Answer(s, table, card(0x70).message(dhcpv4.MessageTypeDiscover, wants("172.16.1.15")), Sender{Port: 1}, start))
	if got.Address == "172.16.1.15" {
		t.Error("a held address is offered")
	}
	a := take(t, s, table, card(0x71), start)
	if table.hold(addr(a), "02:00:00:00:00:99", start) || !table.hold(addr(a), "02:00:00:00:00:71", start) {
		t.Error("a leased address can be held by another, or not by the client itself")
	}
}

// Whatever clients do, and whenever the daemon is killed: no two have one
// address at a time, and nobody has one that is an endpoint's, reserved,
// excluded or outside the range.
func TestNoAddressTwice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, table, now := webScope(), newTable(), start
		stored := map[netip.Addr]model.Lease{} // what a kill leaves
		holders := map[string]struct {         // what clients believe
			who   byte
			until time.Time
		}{}
		known := map[byte]string{}
		send := func(who byte, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) said {
			out := Answer(s, table, card(who).message(kind, with...), Sender{Port: int(who) % 3}, now)
			for _, d := range out.Dropped {
				delete(stored, d.Address)
			}
			for _, c := range out.Changed {
				stored[c.Address] = c
			}
			return short(out)
		}
		acked := func(who byte, got said) {
			if got.Kind != "ACK" || got.Address == "" {
				return
			}
			if h, taken := holders[got.Address]; taken && h.who != who && now.Before(h.until) {
				t.Fatalf("%s is given to %x while %x has it", got.Address, who, h.who)
			}
			a := addr(got.Address)
			if own := map[byte]string{0x11: "172.16.1.11", 0x50: "172.16.1.50"}[who]; own != "" && got.Address != own {
				t.Fatalf("%x gets %s", who, got.Address)
			} else if own == "" && !s.forAnybody(a) {
				t.Fatalf("%x gets %s, which is kept", who, a)
			}
			if old := known[who]; old != "" && old != got.Address {
				delete(holders, old)
			}
			known[who] = got.Address
			holders[got.Address] = struct {
				who   byte
				until time.Time
			}{who, now.Add(s.Lease.Duration())}
		}
		clients := rapid.SampledFrom([]byte{0x11, 0x50, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78})
		addresses := rapid.Custom(func(t *rapid.T) string {
			return netip.AddrFrom4([4]byte{172, 16, 1, byte(rapid.IntRange(0, 21).Draw(t, "last"))}).String()
		})
		t.Repeat(map[string]func(*rapid.T){
			"whole exchange": func(t *rapid.T) {
				who := clients.Draw(t, "client")
				offer := send(who, dhcpv4.MessageTypeDiscover)
				if offer.Kind == "OFFER" {
					acked(who, send(who, dhcpv4.MessageTypeRequest, wants(offer.Address), server("172.16.1.1")))
				}
			},
			"discover": func(t *rapid.T) {
				send(clients.Draw(t, "client"), dhcpv4.MessageTypeDiscover, wants(addresses.Draw(t, "address")))
			},
			"request": func(t *rapid.T) {
				who := clients.Draw(t, "client")
				acked(who, send(who, dhcpv4.MessageTypeRequest, wants(addresses.Draw(t, "address"))))
			},
			"renew": func(t *rapid.T) {
				who := clients.Draw(t, "client")
				if a := known[who]; a != "" {
					acked(who, send(who, dhcpv4.MessageTypeRequest, has(a)))
				}
			},
			"release": func(t *rapid.T) {
				who := clients.Draw(t, "client")
				if a := known[who]; a != "" {
					send(who, dhcpv4.MessageTypeRelease, has(a))
					delete(known, who)
					if holders[a].who == who {
						delete(holders, a)
					}
				}
			},
			"decline": func(t *rapid.T) {
				who := clients.Draw(t, "client")
				if a := known[who]; a != "" {
					send(who, dhcpv4.MessageTypeDecline, wants(a))
					delete(known, who)
					if holders[a].who == who {
						delete(holders, a)
					}
				}
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 4000).Draw(t, "seconds")) * time.Second)
			},
			"kill": func(t *rapid.T) {
				var list []model.Lease
				for _, v := range stored {
					list = append(list, v)
				}
				table = newTable(list...)
			},
			"": func(t *rapid.T) {
				for mac, a := range table.clients {
					if e := table.leases[a]; e == nil || e.MAC != mac {
						t.Fatalf("the table says that %v has %s, and %s has %+v", mac, a, a, e)
					}
				}
				once := map[model.MAC]netip.Addr{}
				for a, v := range stored {
					if other, twice := once[v.MAC]; twice && v.State != model.LeaseDeclined {
						t.Fatalf("%v has both %s and %s stored", v.MAC, a, other)
					}
					if v.State != model.LeaseDeclined {
						once[v.MAC] = a
					}
				}
				for a := range table.offers {
					if table.leases[a] == nil || table.leases[a].State != model.LeaseOffered {
						t.Fatalf("%s is among the offers: %+v", a, table.leases[a])
					}
				}
			},
		})
	})
}

// Nobody speaks for an endpoint or for a client that was seen elsewhere.
func TestSpeakingForOthers(t *testing.T) {
	t.Parallel()
	s, table := webScope(), newTable()
	a := take(t, s, table, card(0x70), start)
	other := Sender{Port: 1, MAC: "02:00:00:00:00:71"}
	for i, m := range [][]byte{
		card(0x11).message(dhcpv4.MessageTypeDiscover),
		card(0x70).message(dhcpv4.MessageTypeRelease, has(a)),
		card(0x70).message(dhcpv4.MessageTypeDecline, wants(a)),
		card(0x70).message(dhcpv4.MessageTypeRequest, wants(a)),
	} {
		if out := Answer(s, table, m, other, start); out.Reply != nil || len(out.Changed)+len(out.Dropped) > 0 {
			t.Errorf("message %d: %+v", i, out)
		}
	}
	if out := Answer(s, table, card(0x99).message(dhcpv4.MessageTypeDiscover), Sender{Port: 1, MAC: "02:00:00:00:00:11"}, start); out.Reply != nil {
		t.Errorf("an endpoint asks for another card: %+v", short(out))
	}
	if out := Answer(s, table, card(0x99).message(dhcpv4.MessageTypeDiscover), other, start); short(out).Kind != "OFFER" {
		t.Errorf("who has several cards behind it gets %+v", short(out))
	}
}
