package names

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

var (
	start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	c1    = Client{"default", netip.MustParseAddr("172.16.1.2")}
	c2    = Client{"default", netip.MustParseAddr("172.16.1.3")}
	other = Client{"lab", netip.MustParseAddr("172.16.1.2")}
	web   = netip.MustParseAddr("198.51.100.7")
	mail  = netip.MustParseAddr("198.51.100.9")
)

func at(d time.Duration) time.Time { return start.Add(d) }

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func TestName(t *testing.T) {
	t.Parallel()
	names := New()
	names.Learn(c1, "www.example.com", []netip.Addr{web, mail}, time.Minute, at(0))
	names.Learn(c1, "shop.example.com", []netip.Addr{web}, time.Minute, at(10*time.Minute))
	names.Learn(c1, "shop.example.com", []netip.Addr{web}, time.Minute, at(20*time.Minute))
	names.Learn(c1, "shop.example.com", []netip.Addr{web}, 0, at(21*time.Minute)) // until an hour later, which the former is for too
	for _, tt := range []struct {
		what   string
		who    Client
		remote netip.Addr
		opened time.Time
		want   string
	}{
		{"before anybody asked", c1, web, at(-time.Second), ""},
		{"at once, by another clock", c1, web, at(-50 * time.Millisecond), "www.example.com"},
		{"after the first answer", c1, web, at(time.Second), "www.example.com"},
		{"after the second", c1, web, at(10*time.Minute + time.Second), "shop.example.com"},
		{"when the last may not be kept any more", c1, web, at(81 * time.Minute), "shop.example.com"},
		{"much later", c1, web, at(82*time.Minute + time.Second), ""},
		{"whenever", c1, web, time.Time{}, "shop.example.com"},
		{"of the other address", c1, mail, at(61 * time.Minute), "www.example.com"},
		{"of the other address, later", c1, mail, at(62 * time.Minute), ""},
		{"somebody else", c2, web, at(time.Second), ""},
		{"the same address in another compartment", other, web, at(time.Second), ""},
		{"somewhere else", c1, address(1), at(time.Second), ""},
	} {
		if got := names.Name(tt.who, tt.remote, tt.opened); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, got, tt.want)
		}
	}
}

// Of many names of one remote the last are known, and an answer may not be kept for ever.
func TestLastNamesWin(t *testing.T) {
	t.Parallel()
	names := New()
	for i := range 10 {
		names.Learn(c1, fmt.Sprintf("n%d.example", i), []netip.Addr{web}, 1000*time.Hour, at(time.Duration(i)*time.Minute))
	}
	for minute, want := range map[int]string{6: "", 7: "n7.example", 8: "n8.example", 9: "n9.example", 9 + 25*60: "n9.example", 10 + 25*60: ""} {
		if got := names.Name(c1, web, at(time.Duration(minute)*time.Minute)); got != want {
			t.Errorf("opened in minute %d: %q, want %q", minute, got, want)
		}
	}
}

// One client keeps no more than its share, and what it learns costs others nothing while
// they have less.
func TestRoom(t *testing.T) {
	t.Parallel()
	names := New()
	names.Learn(c1, "first.example", []netip.Addr{web}, time.Minute, at(0))
	for i := range 10 * clientRemotes {
		names.Learn(c2, fmt.Sprintf("n%d.example", i), []netip.Addr{address(i)}, time.Minute, at(time.Second))
	}
	if n := len(names.clients[c2].remotes); n != clientRemotes || names.count != n+1 {
		t.Errorf("one client has %d, and all %d", n, names.count)
	}
	if first, last := names.Name(c2, address(0), at(time.Second)), names.Name(c2, address(10*clientRemotes-1), at(time.Second)); first != "" || last == "" {
		t.Errorf("its first %q, its last %q", first, last)
	}
	for client := range 2 * mostRemotes / clientRemotes {
		who := Client{"default", address(1<<16 + client)}
		for i := range clientRemotes {
			names.Learn(who, "x.example", []netip.Addr{address(i)}, time.Minute, at(2*time.Second))
		}
		if names.count > mostRemotes {
			t.Fatalf("%d remotes", names.count)
		}
	}
	sum := 0
	for _, c := range names.clients {
		sum += len(c.remotes)
		if len(c.remotes) != c.order.Len() {
			t.Fatalf("%d remotes, %d in order", len(c.remotes), c.order.Len())
		}
	}
	if sum != names.count || sum < mostRemotes*9/10 {
		t.Errorf("%d remotes, counted %d", sum, names.count)
	}
	if got := names.Name(c1, web, at(time.Second)); got != "first.example" {
		t.Errorf("who has little lost it: %q", got)
	}
}

// Who gets an address is not taken for who had it.
func TestOwners(t *testing.T) {
	t.Parallel()
	names := New()
	learn := func() {
		names.Learn(c1, "www.example.com", []netip.Addr{web}, time.Minute, at(0))
		names.Learn(c2, "www.example.com", []netip.Addr{web}, time.Minute, at(0))
	}
	has := func(who Client) bool { return names.Name(who, web, at(time.Second)) != "" }
	learn()
	names.Owners(map[Client]string{c1: "a", c2: "b"})
	if !has(c1) || !has(c2) {
		t.Error("forgotten by the first that is told")
	}
	names.Owners(map[Client]string{c1: "a", c2: "c"})
	if !has(c1) || has(c2) {
		t.Errorf("another has the address: %v, %v", has(c1), has(c2))
	}
	names.Owners(map[Client]string{c2: "c"})
	if has(c1) || names.count != 0 || len(names.clients) != 0 {
		t.Errorf("nobody has it: %v, %d", has(c1), names.count)
	}
	learn()
	names.Owners(map[Client]string{c1: "new", c2: "c"})
	if !has(c1) || !has(c2) { // c1 was nobody's before
		t.Errorf("%v, %v", has(c1), has(c2))
	}
}
