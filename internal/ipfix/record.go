package ipfix

import (
	"net/netip"
	"time"
)

// Event is what happened: natEvent, information element 230 (RFC 8158 section 5.3).
type Event uint8

// The events of a NAT from IPv4 to IPv4.
const (
	SessionCreate  Event = 4
	SessionDelete  Event = 5
	BindingCreate  Event = 8 // "BIB" in the RFC
	BindingDelete  Event = 9
	PortsExhausted Event = 12
	QuotaExceeded  Event = 13
)

// Quota is what there was no more of: natQuotaExceededEvent (RFC 8158 section 5.4).
type Quota uint32

// The quotas that hostnat has.
const (
	MaxSessions Quota = 1
	MaxPerUser  Quota = 3
)

// Record is one event. Addresses are IPv4; one that is not valid is written as 0.0.0.0.
type Record struct {
	Time     time.Time
	Event    Event
	Instance uint32 // the NAT's number
	Protocol uint8
	Internal netip.AddrPort
	External netip.AddrPort
	Remote   netip.AddrPort // of a session; not valid: it is left out (RFC 6888 REQ-12)
	Realm    string         // to which the internal address belongs; others may have the same address
	Quota    Quota          // of QuotaExceeded
	Limit    uint32         // of QuotaExceeded
}

// Losses are the records that were never sent (RFC 7011 section 4.3).
type Losses struct {
	Process     uint32 // the exporting process's number
	Records     uint64
	First, Last time.Time // when they were lost
}
