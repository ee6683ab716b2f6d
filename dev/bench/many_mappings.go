package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// OneMapping is hostnat with hardly anything to do: what many mappings, and a
// long range, are measured against.
const OneMapping = "one mapping"

const (
	mappingCount   = 10_000
	firstMapped    = 10_000 // TCP ports of these; what packets go through is UDP
	timedMappings  = 25     // are added one after the other, of which the median counts
	mappingLaps    = 5      // the daemon of many mappings looks at all of them every 10 s, for some 50 ms
	mappedRange    = "2000-61999"
	portOfTheRange = 9000
)

var (
	addRow      = Row{Name: "adding a mapping to 10,000", Unit: "ms", Lower: true, Bars: []Bar{{Limit: 5}}}
	addRangeRow = Row{Name: "adding a range of 60,000 ports", Unit: "ms", Lower: true, Bars: []Bar{{Limit: 50}}}
	manyRow     = Row{Name: "64-byte UDP frames beside 10,000 mappings", Unit: "kpkt/s", Bars: []Bar{{Against: OneMapping, Limit: 0.95}}}
	rangeRow    = Row{Name: "64-byte UDP frames through a range", Unit: "kpkt/s", Bars: []Bar{{Against: OneMapping, Limit: 0.95}}}
)

// What many mappings cost, to change and for each packet.
var manyMappings = section{
	title:   "many mappings",
	rows:    []Row{addRow, addRangeRow, manyRow, rangeRow},
	missing: func() string { return "" },
	setups: func(o Options) ([]setup, error) {
		program, err := o.program()
		if err != nil {
			return nil, err
		}
		return []setup{hostnatWithMappings(program, Hostnat, mappingCount), hostnatWithMappings(program, OneMapping, 0)}, nil
	},
	measurements: func(b *Bench) []measurement {
		return []measurement{
			{rows: []Row{addRow}, take: addMappings},
			{rows: []Row{addRangeRow}, only: Hostnat, take: addRange},
			inLaps(mappingLaps, measurement{rows: []Row{manyRow}, take: func(ctx context.Context, c *contender) ([]float64, error) {
				return b.packets(ctx, c.inbound)
			}}),
			inLaps(mappingLaps, measurement{rows: []Row{rangeRow}, take: b.throughRange}),
		}
	},
}

// hostnatWithMappings is hostnat with so many TCP mappings beside the usual ones.
func hostnatWithMappings(program, name string, count int) setup {
	return setup{name: name, nat: true, build: func(ctx context.Context, t *lab.Topology, ports string) (running, error) {
		d, err := startDaemon(ctx, program, t.Host)
		if err != nil {
			return running{}, err
		}
		r := running{close: d.close, explain: d.status, client: api.NewClient(filepath.Join(d.dir, "run", "hostnat.sock"))}
		err = d.configure(ctx, t.Endpoints[0].Name, ports)
		for i := 0; i < count && err == nil; i++ {
			_, err = r.client.AddMapping(ctx, mappingAt(firstMapped+i))
		}
		if err != nil {
			return running{}, errors.Join(err, d.close())
		}
		return r, nil
	}}
}

func mappingAt(port int) api.MappingSpec {
	return api.MappingSpec{Protocol: "tcp", External: fmt.Sprint(port), Internal: fmt.Sprintf("c1:%d", port)}
}

// addMappings times mappings that are added behind the others, and takes them
// away again.
func addMappings(ctx context.Context, c *contender) ([]float64, error) {
	var took []float64
	for i := range timedMappings {
		ms, err := c.addMapping(ctx, mappingAt(firstMapped+mappingCount+i))
		if err != nil {
			return nil, err
		}
		took = append(took, ms)
	}
	return []float64{percentile(took, 50)}, nil
}

// addMapping adds a mapping, in milliseconds, and takes it away again.
func (c *contender) addMapping(ctx context.Context, spec api.MappingSpec) (float64, error) {
	start := time.Now()
	m, err := c.client.AddMapping(ctx, spec)
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	return float64(took) / float64(time.Millisecond), c.client.DeleteMapping(ctx, m.ID)
}

// rangeMapping goes before the mapping that is there, on its address.
func rangeMapping() api.MappingSpec {
	return api.MappingSpec{Protocol: "udp", External: lab.HostAddress + ":" + mappedRange, Internal: "c1:" + mappedRange}
}

func addRange(ctx context.Context, c *contender) ([]float64, error) {
	ms, err := c.addMapping(ctx, rangeMapping())
	return []float64{ms}, err
}

// throughRange is packets to a port of a range, which is there for so long; for
// the other contender to its mapping.
func (b *Bench) throughRange(ctx context.Context, c *contender) (figures []float64, err error) {
	p := c.inbound
	if c.name != Hostnat {
		return b.packets(ctx, p)
	}
	m, err := c.client.AddMapping(ctx, rangeMapping())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.client.DeleteMapping(ctx, m.ID)) }()
	p.target = netip.AddrPortFrom(p.target.Addr(), portOfTheRange)
	p.listen = netip.AddrPortFrom(p.listen.Addr(), portOfTheRange)
	return b.packets(ctx, p)
}
