// Package whereis decides who is where on networks' switches when two claim one
// MAC or one address. The data path learns by first use and refuses the second;
// here the first is asked whether it is still there, and gives way if it is not.
package whereis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/host/arp"
	"github.com/hostnat/hostnat/internal/model"
)

// Table is the data path's table of who is where.
type Table interface {
	WatchClaims(ctx context.Context, sink func(datapath.Claim)) error
	LastSeen(c datapath.Claim) (age time.Duration, found bool)
	Concede(c datapath.Claim) (gone bool, err error)
	Places() ([]datapath.Place, error)
	Refusals() ([]datapath.Refusal, error)
	ForgetSilent(silence time.Duration, there func(port uint32) bool) error
}

// Ports are the ports of switches, as the host has them.
type Ports interface {
	// At returns a port by its interface index.
	At(index uint32) (arp.SwitchPort, bool)
	// Ask sends an ARP probe for an address to one MAC out of a port. The answer, if
	// one comes, is seen by the data path.
	Ask(ctx context.Context, port arp.SwitchPort, mac model.MAC, a netip.Addr) error
}

// How long the holder of a row has to answer, and how long a row may be silent.
const (
	step     = 60 * time.Millisecond  // a row says when it was heard of, give or take this
	answer   = 200 * time.Millisecond // to one question
	asks     = 2                      // before it gives way
	poll     = 10 * time.Millisecond
	mute     = 5 * time.Second   // a MAC without an address cannot be asked: silent for so long, it gives way
	silence  = 300 * time.Second // as long as bridges remember: then a row of a port that has many goes
	sweep    = 10 * time.Second
	report   = 2 * time.Second
	parallel = 32 // claims that are looked into at a time; who floods is looked into later
	recent   = time.Minute
)

// Guard looks into claims.
type Guard struct {
	table    Table
	ports    Ports
	announce func(event.Event)
	log      *slog.Logger
	slots    chan struct{}
	told     map[refused]uint64 // counts of which events have been sent
}

type refused struct {
	port   uint32
	reason event.Reason
}

// New returns a guard of a table. What is refused at ports is announced.
func New(table Table, ports Ports, announce func(event.Event), log *slog.Logger) *Guard {
	return &Guard{
		table: table, ports: ports, announce: announce, log: log,
		slots: make(chan struct{}, parallel), told: make(map[refused]uint64),
	}
}

// Run looks into claims, forgets who is gone, and tells what was refused,
// until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- g.table.WatchClaims(ctx, func(c datapath.Claim) { g.take(ctx, c) }) }()
	sweeps, reports := time.NewTicker(sweep), time.NewTicker(report)
	defer sweeps.Stop()
	defer reports.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return err
		case <-sweeps.C:
			if err := g.table.ForgetSilent(silence, g.there); err != nil {
				g.log.Warn("forgetting who is gone from networks' switches", "error", err)
			}
		case <-reports.C:
			g.tellRefusals()
		}
	}
}

// take looks into a claim beside others. One that finds no place is left alone:
// who claims will do so again.
func (g *Guard) take(ctx context.Context, c datapath.Claim) {
	select {
	case g.slots <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-g.slots }()
		if err := g.decide(ctx, c); err != nil && !errors.Is(err, context.Canceled) {
			g.log.Debug("asking who is where", "mac", c.HolderMAC, "error", err)
		}
	}()
}

// decide has the row of a claim forgotten, unless its holder is still there.
func (g *Guard) decide(ctx context.Context, c datapath.Claim) error {
	port, there := g.ports.At(c.HolderPort)
	if !there {
		c.Time = ^uint64(0) // whatever was heard from a port that is gone
		_, err := g.table.Concede(c)
		return err
	}
	age, found := g.table.LastSeen(c)
	if !found {
		return nil
	}
	addresses, err := g.addresses(c)
	if err != nil {
		return err
	}
	if len(addresses) == 0 && age < mute {
		return nil
	}
	if len(addresses) > 0 {
		if age < step { // else what it says next would not be told from what it has just said
			time.Sleep(step - age)
		}
		answered, err := g.ask(ctx, c, port, addresses)
		if err != nil || answered {
			return err
		}
	}
	_, err = g.table.Concede(c)
	return err
}

// addresses are what the holder of a claimed row can be asked for.
func (g *Guard) addresses(c datapath.Claim) ([]netip.Addr, error) {
	if c.Address.IsValid() {
		return []netip.Addr{c.Address}, nil
	}
	places, err := g.table.Places()
	var here, elsewhere []netip.Addr // by what it has said there; before it came there, if that was nothing yet
	for _, p := range places {
		switch {
		case p.MAC != c.HolderMAC || p.Compartment != c.Compartment:
		case p.Port == c.HolderPort:
			here = append(here, p.Address)
		default:
			elsewhere = append(elsewhere, p.Address)
		}
	}
	list := append(here, elsewhere...)
	return list[:min(len(list), asks)], err
}

// ask reports whether the holder answers at its port.
func (g *Guard) ask(ctx context.Context, c datapath.Claim, port arp.SwitchPort, addresses []netip.Addr) (bool, error) {
	begin := time.Now()
	for i := range asks {
		if err := g.ports.Ask(ctx, port, c.HolderMAC, addresses[i%len(addresses)]); err != nil {
			return false, err
		}
		until := time.Now().Add(answer)
		for time.Now().Before(until) {
			if age, found := g.table.LastSeen(c); !found || age < time.Since(begin) {
				return true, nil
			}
			select {
			case <-ctx.Done():
				return false, ctx.Err()
			case <-time.After(poll):
			}
		}
	}
	return false, nil
}

func (g *Guard) there(port uint32) bool {
	_, there := g.ports.At(port)
	return there
}

// tellRefusals sends an event for each port and reason with new refusals.
func (g *Guard) tellRefusals() {
	list, err := g.table.Refusals()
	if err != nil {
		g.log.Warn("reading what was refused at networks' switches", "error", err)
		return
	}
	told := make(map[refused]uint64, len(list))
	for _, r := range list {
		key := refused{r.Port, r.Reason}
		told[key] = r.Count
		if before := g.told[key]; r.Count > before {
			e := event.New(event.PortRefused, r.Last)
			e.Description = g.describe(r, r.Count-before)
			g.announce(e)
		}
	}
	g.told = told
}

// Problems are what was refused in the last minute, for `status`.
func (g *Guard) Problems() []string {
	list, err := g.table.Refusals()
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	for _, r := range list {
		if time.Since(r.Last) < recent {
			problems = append(problems, g.describe(r, r.Count)+"; if this port may do that: hostnat network set NETWORK port-security=off")
		}
	}
	return problems
}

// describe says who tried what.
func (g *Guard) describe(r datapath.Refusal, count uint64) string {
	name := fmt.Sprintf("interface %d", r.Port)
	if port, there := g.ports.At(r.Port); there {
		name = fmt.Sprintf("port %s of %s", port.Name, port.Bridge)
	}
	who := string(r.MAC)
	if r.Address.IsValid() {
		who += " for " + r.Address.String()
	}
	frames := "frames were"
	if count == 1 {
		frames = "frame was"
	}
	return fmt.Sprintf("%s: %d %s refused as %s, the last from %s", name, count, frames, r.Reason, who)
}
