package bench

import "context"

// Row is a line of the table.
type Row struct {
	Name  string `json:"name"`
	Unit  string `json:"unit"`
	Lower bool   `json:"lowerIsBetter,omitempty"`
	Bars  []Bar  `json:"-"`
}

// measurement is traffic that yields a figure for each of its rows.
type measurement struct {
	rows []Row
	only string // the only contender measured; empty: all
	laps int    // how often contenders take turns in a round, of which the median counts; 0: once
	take func(context.Context, *contender) ([]float64, error)
}

// Bars of the project: what hostnat has to reach.
var (
	packetBars  = []Bar{{Against: NFTables, Limit: 1.8}, {Against: Routing, Limit: 1.3}}
	bulkBars    = []Bar{{Against: NFTables, Limit: 1.2}}
	connectBars = []Bar{{Against: NFTables, Limit: 1.1}}
	tripBars    = []Bar{{Against: NFTables, Limit: 1}}
	requestBars = []Bar{{Against: NFTables, Limit: 0.8}}
	arrivalBars = []Bar{{Limit: 7}}
)

// phases are what the options ask for: one after the other, all rounds of each.
func (b *Bench) phases(setups []setup) (phases [][]measurement) {
	all := [][]measurement{b.shortMeasurements()}
	if b.options.Full {
		all = append(all, b.sessionPhases()...)
		all = append(all, b.freshMeasurements(setups))
	}
	for _, phase := range all {
		if some := b.wanted(phase); len(some) > 0 {
			phases = append(phases, some)
		}
	}
	return phases
}

// freshMeasurements start a contender for each figure; only those that keep
// state take part.
func (b *Bench) freshMeasurements(setups []setup) (all []measurement) {
	for _, s := range setups {
		if s.nat {
			all = append(all, b.bindingMeasurement(s), b.memoryMeasurement(s))
		}
	}
	return all
}

// units are those of a rate, and of what it costs.
type units struct{ rate, cost string }

var (
	packetUnits  = units{"kpkt/s", "s/Mpkt"}
	bulkUnits    = units{"Gbit/s", "s/Gbit"}
	connectUnits = units{"1/s", "s/1000"}
)

// shortMeasurements begin with what two programs see.
func (b *Bench) shortMeasurements() []measurement {
	return []measurement{
		both("64-byte UDP, sockets", "outbound", outboundPath, packetUnits, nil, b.datagrams),
		both("64-byte UDP, sockets", "published", inboundPath, packetUnits, nil, b.datagrams),
		inLaps(bulkLaps, both("TCP bulk", "outbound", outboundPath, bulkUnits, bulkBars, b.bulk)),
		inLaps(bulkLaps, both("TCP bulk", "published", inboundPath, bulkUnits, bulkBars, b.bulk)),
		both("TCP connections", "outbound", outboundPath, connectUnits, connectBars, b.connects),
		both("TCP connections", "published", inboundPath, connectUnits, connectBars, b.connects),
		roundTripRows(b, "outbound", outboundPath),
		roundTripRows(b, "published", inboundPath),
		requestRows(b, "outbound", outboundPath),
		requestRows(b, "published", inboundPath),
		{rows: latencyRows("arrival to arrival, published", arrivalBars, nil), take: b.arrivals},
		{
			rows: []Row{{Name: "64-byte UDP frames, generator and sink alone", Unit: "kpkt/s"}},
			only: Routing,
			take: b.nothing,
		},
		both("64-byte UDP frames", "outbound", outboundPath, packetUnits, packetBars, b.packets),
		both("64-byte UDP frames", "published", inboundPath, packetUnits, packetBars, b.packets),
	}
}

func outboundPath(c *contender) path { return c.outbound }
func inboundPath(c *contender) path  { return c.inbound }

// both makes the measurement of one direction: a rate, and the CPU seconds of the
// whole machine that it takes.
func both(what, direction string, choose func(*contender) path, unit units, bars []Bar,
	take func(context.Context, path) ([]float64, error)) measurement {
	return measurement{
		rows: []Row{
			{Name: what + ", " + direction, Unit: unit.rate, Bars: bars},
			{Name: what + ", " + direction + ", CPU", Unit: unit.cost, Lower: true},
		},
		take: func(ctx context.Context, c *contender) ([]float64, error) { return take(ctx, choose(c)) },
	}
}

// inLaps has contenders take turns often and shortly, for a figure that
// whatever else the machine does moves more than who is measured.
func inLaps(laps int, m measurement) measurement {
	m.laps = laps
	return m
}

func roundTripRows(b *Bench, direction string, choose func(*contender) path) measurement {
	return measurement{
		rows: latencyRows("UDP round trip, "+direction, tripBars, tripBars),
		take: func(ctx context.Context, c *contender) ([]float64, error) { return b.roundTrips(ctx, choose(c)) },
	}
}

func requestRows(b *Bench, direction string, choose func(*contender) path) measurement {
	return measurement{
		rows: latencyRows("TCP requests, 16 connections, "+direction, nil, requestBars),
		take: func(ctx context.Context, c *contender) ([]float64, error) { return b.requests(ctx, choose(c)) },
	}
}

func latencyRows(name string, median, tail []Bar) []Row {
	return []Row{
		{Name: name + ", p50", Unit: "µs", Lower: true, Bars: median},
		{Name: name + ", p99", Unit: "µs", Lower: true, Bars: tail},
	}
}

// wanted leaves out measurements of which no row was asked for.
func (b *Bench) wanted(all []measurement) (some []measurement) {
	if b.options.Rows == nil {
		return all
	}
	for _, m := range all {
		for _, row := range m.rows {
			if b.options.Rows.MatchString(row.Name) {
				some = append(some, m)
				break
			}
		}
	}
	return some
}
