package api

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// Rate is what is sent in a second. Bytes are IP's, headers included.
type Rate struct {
	PacketsOut uint64 `json:"packetsOut"`
	BytesOut   uint64 `json:"bytesOut"`
	PacketsIn  uint64 `json:"packetsIn"`
	BytesIn    uint64 `json:"bytesIn"`
}

// Traffic is what is sent, between two readings of the kernel's tables. A daemon that
// nobody has asked for a minute has no former reading: Milliseconds is 0 then, so is each
// rate, and who asks again a second later gets them. A large table is read less often than
// it is asked for.
type Traffic struct {
	At           time.Time         `json:"at"`           // of the later reading
	Milliseconds uint64            `json:"milliseconds"` // between the two
	Sessions     uint64            `json:"sessions"`     // in the table
	Opened       uint64            `json:"opened"`       // sessions, in that time
	Unmeasured   uint64            `json:"unmeasured"`   // sessions that have sent and are in no rate: there were too many, or they had been idle
	Total        Rate              `json:"total"`
	Drops        []TrafficDrop     `json:"drops"`     // the latest first
	Endpoints    []TrafficEndpoint `json:"endpoints"` // the first ones that match
	Active       []TrafficSession  `json:"active"`    // sessions that have sent lately, the first ones that match

	Networks  []TrafficNetwork  `json:"networks"`  // all, in no order
	Externals []TrafficExternal `json:"externals"` // external addresses that something goes by, in no order

	MatchingEndpoints int `json:"matchingEndpoints"` // how many match
	MatchingSessions  int `json:"matchingSessions"`
}

// TrafficDrop is a reason for which packets were dropped.
type TrafficDrop struct {
	Reason  string `json:"reason"`
	Meaning string `json:"meaning"`
	Packets uint64 `json:"packets"` // since the data path is there
	Latest  uint64 `json:"latest"`  // of these, in Traffic.Milliseconds
}

// TrafficEndpoint is an endpoint that has sessions, or an address that no endpoint has.
type TrafficEndpoint struct {
	Endpoint    string     `json:"endpoint"` // empty: an address that no endpoint has
	Network     string     `json:"network"`
	Compartment string     `json:"compartment"`
	Address     netip.Addr `json:"address"`
	Sessions    uint64     `json:"sessions"`
	Opened      uint64     `json:"opened"` // sessions, in Traffic.Milliseconds
	Rate        Rate       `json:"rate"`
}

// TrafficNetwork is the sum of what the endpoints of a network have.
type TrafficNetwork struct {
	Network     string `json:"network"`
	Compartment string `json:"compartment"`
	Sessions    uint64 `json:"sessions"`
	Opened      uint64 `json:"opened"` // sessions, in Traffic.Milliseconds
	Rate        Rate   `json:"rate"`
}

// TrafficExternal is what goes by an external address of a NAT.
type TrafficExternal struct {
	NAT     string     `json:"nat"`
	Address netip.Addr `json:"address"`
	Rate    Rate       `json:"rate"`
}

// TrafficSession is a session and how fast it is.
type TrafficSession struct {
	Session
	Rate Rate `json:"rate"`
}

// TrafficQuery asks for the first rows of some.
type TrafficQuery struct {
	Endpoint string // only this one's; empty: all
	Match    string // only rows that have this text in a name, an address, the protocol or the state
	Order    string // bytes, packets, sessions, opened or name; empty: bytes
	Count    int    // of endpoints and of sessions, from 1 to 1000; 0: 50
}

func (q TrafficQuery) values() url.Values {
	values := url.Values{}
	for _, p := range []struct{ key, value string }{{"endpoint", q.Endpoint}, {"match", q.Match}, {"order", q.Order}} {
		if p.value != "" {
			values.Set(p.key, p.value)
		}
	}
	if q.Count != 0 {
		values.Set("count", strconv.Itoa(q.Count))
	}
	return values
}

// Traffic asks what is sent, by endpoint and by session.
func (c *Client) Traffic(ctx context.Context, q TrafficQuery) (t Traffic, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/traffic"+encodeQuery(q.values()), nil, &t)
	return t, err
}
