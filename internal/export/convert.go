package export

import (
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/ipfix"
	"github.com/hostnat/hostnat/internal/syslog"
)

// natEvents are the events in RFC 8158's numbers.
var natEvents = map[event.ID]ipfix.Event{
	event.SessionCreate: ipfix.SessionCreate, event.SessionDelete: ipfix.SessionDelete,
	event.BindingCreate: ipfix.BindingCreate, event.BindingDelete: ipfix.BindingDelete,
	event.OutOfPorts: ipfix.PortsExhausted, event.MemoryAllocationFailure: ipfix.QuotaExceeded, event.EndpointLimited: ipfix.QuotaExceeded,
}

func recordOf(e *event.Event, remotes bool) ipfix.Record {
	r := ipfix.Record{
		Time: e.Time, Event: natEvents[e.ID], Instance: e.NATID, Protocol: uint8(e.Protocol),
		Internal: e.Internal, External: e.External, Realm: e.Compartment, Limit: e.Limit,
	}
	switch {
	case e.ID == event.EndpointLimited:
		r.Quota = ipfix.MaxPerUser
	case e.ID == event.MemoryAllocationFailure:
		r.Quota = ipfix.MaxSessions
	case e.ID.OfSession() && remotes:
		r.Remote = e.InternalDestination
	}
	return r
}

// element is the name of our structured data. hostnat has no enterprise number of its own:
// 32473 is the one that RFC 5612 keeps for examples.
const element = "hostnat@32473"

func origin() syslog.Origin {
	host, _ := os.Hostname() // unknown if there is none
	return syslog.Origin{Facility: syslog.Daemon, Host: host, App: "hostnat", PID: strconv.Itoa(os.Getpid())}
}

func messageOf(e event.Event, remotes bool) syslog.Message {
	if !remotes { // RFC 6888 REQ-12
		e.InternalDestination, e.ExternalDestination, e.RemoteName = netip.AddrPort{}, netip.AddrPort{}, ""
	}
	m := syslog.Message{Severity: syslog.Information, Time: e.Time, ID: e.Name, Element: element, Text: e.Short()}
	if e.Level != event.Information {
		m.Severity = syslog.Warning
	}
	all := [...]syslog.Param{
		{Name: "id", Value: strconv.Itoa(int(e.ID))}, {Name: "nat", Value: e.NAT}, {Name: "network", Value: e.Network}, {Name: "compartment", Value: e.Compartment},
		{Name: "endpoint", Value: e.Endpoint}, {Name: "protocol", Value: protocolName(&e)}, {Name: "internal", Value: textOf(e.Internal)}, {Name: "external", Value: textOf(e.External)},
		{Name: "remote", Value: textOf(e.InternalDestination)}, {Name: "remoteName", Value: e.RemoteName}, {Name: "cause", Value: string(e.Cause)},
	}
	m.Params = make([]syslog.Param, 0, len(all)+1)
	for _, p := range all {
		if p.Value != "" {
			m.Params = append(m.Params, p)
		}
	}
	return m
}

// lossMessage says how many events were lost so far.
func lossMessage(lost uint64, now time.Time) syslog.Message {
	e := event.New(event.EventsLost, now)
	e.Lost, e.Description = lost, "they came faster than they could be sent here, since the daemon's start"
	m := messageOf(e, false)
	m.Params = append(m.Params, syslog.Param{Name: "lost", Value: strconv.FormatUint(lost, 10)})
	return m
}

func protocolName(e *event.Event) string {
	if e.Protocol == 0 {
		return ""
	}
	return e.Protocol.String()
}

func textOf(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
