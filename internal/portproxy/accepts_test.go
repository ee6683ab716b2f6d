package portproxy

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A client that opens more than others may is refused while others wait, and only then; who
// opens few is not, whatever the others of the rule do.
func TestAccepts(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	client := func(i int) netip.Prefix {
		return clientOf(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}))
	}
	admitted := func(a *accepts, of netip.Prefix, tries int, pressed bool) (n int) {
		for range tries {
			if a.admit(of, now, pressed) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		name    string
		others  int // clients that have opened what each may
		tries   int
		pressed bool
		want    int
	}{
		{"nobody waits", 0, 20_000, false, 20_000},
		{"a greedy client", 0, 20_000, true, int(clientOpens.Burst)},
		{"few, of a rule that others use up", 8, 15, true, 15},
		{"many, of a rule that others use up", 8, 1000, true, fewOpened},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := new(accepts)
			for i := range c.others {
				admitted(a, client(i), int(clientOpens.Burst), true)
			}
			if got := admitted(a, client(1000), c.tries, c.pressed); got != c.want {
				t.Errorf("%d of %d are admitted, want %d", got, c.tries, c.want)
			}
		})
	}
	t.Run("they come again with time", func(t *testing.T) {
		a := new(accepts)
		admitted(a, client(1), 5000, true)
		now = now.Add(time.Second)
		if got := admitted(a, client(1), 5000, true); got != int(clientOpens.PerSecond) {
			t.Errorf("%d are admitted a second later", got)
		}
	})
	t.Run("an IPv6 network is one client", func(t *testing.T) {
		a := new(accepts)
		sum := 0
		for i := range 3000 {
			sum += admitted(a, clientOf(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(i >> 8), 15: byte(i)})), 1, true)
		}
		if sum != int(clientOpens.Burst) {
			t.Errorf("%d are admitted", sum)
		}
	})
}

// Ports are the ones that the kernel may choose, each once, but for those that somebody reserves.
func TestSourcePorts(t *testing.T) {
	t.Parallel()
	reserved, err := portSet("8080,40001-40003")
	if want := map[int]bool{8080: true, 40001: true, 40002: true, 40003: true}; err != nil || !reflect.DeepEqual(reserved, want) {
		t.Fatalf("reserved: %v, %v", reserved, err)
	}
	s := &sourcePorts{first: 40000, count: 10, turn: 7, reserved: reserved}
	var got []uint16
	for range 8 {
		p, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	if want := []uint16{40007, 40008, 40009, 40000, 40004, 40005, 40006, 40007}; !reflect.DeepEqual(got, want) {
		t.Errorf("ports: %v, want %v", got, want)
	}
	if _, err := (&sourcePorts{first: 40001, count: 3, reserved: reserved}).next(); err != unix.EADDRNOTAVAIL {
		t.Errorf("all are reserved: %v", err)
	}
	for _, bad := range []string{"x", "5-", "9-5", "1-70000", "-1"} {
		if _, _, err := portRange(bad); err == nil {
			t.Errorf("%q is taken for a range", bad)
		}
	}
}
