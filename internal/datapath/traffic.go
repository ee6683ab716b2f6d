package datapath

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// Traffic is what the table of sessions has for who wants to know what is sent.
type Traffic struct {
	Sessions uint64               // all
	Insides  map[AddressOn]uint64 // all, by their address inside
	Active   []Session            // those that have sent lately
	Left     uint64               // how many others have, of which there are too many
}

// AddressOn is an address inside and the network that it is on.
type AddressOn struct {
	Compartment, Network uint32
	Address              netip.Addr
}

// Traffic reads the sessions once. Of those that have sent since then it returns at most so
// many: those that have sent most since they were opened.
func (d *Datapath) Traffic(since time.Time, most int) (Traffic, error) {
	clock := d.readClock()
	earliest := uint64(max(0, clock.monotonic-int64(clock.wall.Sub(since))))
	b := busiest{most: most}
	counts, err := d.sumSessions(earliest, few, b.add)
	if errors.Is(err, kernel.ErrMany) {
		b = busiest{most: most}
		counts, err = kernel.SumSessions(d.objects.Sessions, earliest, b.add)
	}
	if errors.Is(err, kernel.ErrMany) {
		counts, err = d.sumSessions(earliest, math.MaxInt, b.add)
	}
	if err != nil {
		return Traffic{}, fmt.Errorf("reading the sessions: %w", err)
	}
	b.cut()
	t := Traffic{Insides: make(map[AddressOn]uint64, len(counts)), Left: b.left}
	for on, count := range counts {
		t.Sessions += count
		t.Insides[AddressOn{on.Compartment, on.Network, kernel.ToAddress(on.Address)}] = count
	}
	for i := range b.rows {
		t.Active = append(t.Active, toSession(&b.rows[i].key, &b.rows[i].value, clock))
	}
	return t, nil
}

// few is how many sessions are copied to user space in less time than it takes to load a
// program that counts them.
const few = 4096

// sumSessions is kernel.SumSessions by copying all: of few sessions, or where there are too many
// for it. With ErrMany there are more than most, and some were visited.
func (d *Datapath) sumSessions(earliest uint64, most int, visit func(*kernel.SessionKey, *kernel.Session) error) (map[kernel.SessionsOn]uint64, error) {
	counts, seen := make(map[kernel.SessionsOn]uint64), 0
	err := kernel.Each(d.objects.Sessions, func(k *kernel.SessionKey, v *kernel.Session) error {
		if seen++; seen > most {
			return kernel.ErrMany
		}
		counts[kernel.SessionsOn{Compartment: k.Compartment, Network: v.Network, Address: k.InternalAddress}]++
		if v.LastRefreshed() < earliest {
			return nil
		}
		return visit(k, v)
	})
	return counts, err
}

// busiest keeps the sessions that have sent most of those that it is given.
type busiest struct {
	most  int
	rows  []busy // up to twice as many, so that they are seldom sorted
	least uint64 // bytes: fewer are not among the most
	left  uint64 // how many were not kept
}

type busy struct {
	key   kernel.SessionKey
	value kernel.Session
}

func (b *busy) bytes() uint64 { return b.value.BytesOut + b.value.BytesIn }

func (b *busiest) add(k *kernel.SessionKey, v *kernel.Session) error {
	if v.BytesOut+v.BytesIn < b.least {
		b.left++
		return nil
	}
	if len(b.rows) == 2*b.most {
		b.cut()
		b.least = b.rows[len(b.rows)-1].bytes() + 1 // of equals the first are kept
		if v.BytesOut+v.BytesIn < b.least {
			b.left++
			return nil
		}
	}
	b.rows = append(b.rows, busy{*k, *v})
	return nil
}

// cut lets go of those that are too many.
func (b *busiest) cut() {
	if len(b.rows) <= b.most {
		return
	}
	slices.SortFunc(b.rows, func(a, b busy) int {
		return cmp.Or(cmp.Compare(b.bytes(), a.bytes()), cmp.Compare(a.key.InternalAddress, b.key.InternalAddress),
			cmp.Compare(a.key.InternalPort, b.key.InternalPort), cmp.Compare(a.key.RemoteAddress, b.key.RemoteAddress),
			cmp.Compare(a.key.RemotePort, b.key.RemotePort)) // the same ones at each reading
	})
	b.left += uint64(len(b.rows) - b.most)
	b.rows = b.rows[:b.most]
}
