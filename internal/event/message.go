package event

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// stateNames is WinNAT's value map of TCP states.
var stateNames = [...]string{"Closed/NA", "Internal SYN received", "External SYN received",
	"Established", "Internal FIN received", "External FIN received", "Both FIN received",
	"4 minute timewait"}

// StateName returns the state in WinNAT's words.
func StateName(s model.TCPState) string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Message says what happened in a sentence or two, on one line.
func (e Event) Message() string {
	proto := strings.ToUpper(e.Protocol.String())
	d := ids[e.ID]
	switch d.kind {
	case session:
		return fmt.Sprintf("%s %s. Internal source %s (compartment %s), internal destination %s, "+
			"external source %s, external destination %s, lifetime %d s, TCP state %s.",
			proto, d.what, address(e.Internal), e.Compartment, address(e.InternalDestination),
			address(e.External), address(e.ExternalDestination), e.LifetimeSeconds, StateName(e.TCPState))
	case binding:
		return fmt.Sprintf("%s %s. Internal address %s (compartment %s), external address %s, "+
			"session count %d, configured %t.",
			proto, d.what, address(e.Internal), e.Compartment, address(e.External),
			e.SessionCount, e.Configured)
	}
	if e.Packet != nil {
		return e.Packet.message(e)
	}
	switch e.ID {
	case DroppedPacket:
		return fmt.Sprintf("Dropped %s. %s", e.Drop.Text(), Describe(e.Drop.Reason))
	case EventsLost:
		return fmt.Sprintf("%d events were lost: %s.", e.Lost, e.Description)
	case ConfigurationChange:
		return fmt.Sprintf("Configuration changed by %s: %s.", e.Author, e.Description)
	case OutOfPorts:
		return fmt.Sprintf("NAT %s has no free %s port: all ports it may use are taken.", e.NAT, proto)
	case EndpointDependentBegin:
		return fmt.Sprintf("NAT %s has used up its ports and goes on with endpoint-dependent mapping.", e.NAT)
	case EndpointDependentEnd:
		return fmt.Sprintf("NAT %s has no endpoint-dependent session any more.", e.NAT)
	case EndpointLimited:
		return fmt.Sprintf("Endpoint address %s has all the sessions, ports or new sessions a second that NAT %s allows it.",
			e.Internal.Addr(), e.NAT)
	case MemoryAllocationFailure:
		return fmt.Sprintf("No room for a new entry: %s.", e.Description)
	case PortRefused:
		return e.Description + "."
	case NetworkOverlap, NetworkOverlapEnd, NetworkRenumber:
		return fmt.Sprintf("Network %s %s.", e.Network, e.Description)
	}
	return fmt.Sprintf("Event %d.", e.ID)
}

// Short says what happened in few words, on one line.
func (e Event) Short() string {
	d := ids[e.ID]
	inside := strings.TrimSpace(e.Endpoint + " " + address(e.Internal))
	switch {
	case d.kind == session:
		what, handshake := d.what, ""
		switch e.ID {
		case SessionTCPStateUpdate:
			what = "session is " + e.TCPState.String()
		case SessionDelete:
			what, handshake = "session deleted"+causeText(e.Cause), handshakeText(e.Handshake)
		}
		if !e.InternalDestination.IsValid() { // it is not to be told
			return fmt.Sprintf("%s: %s %s, outside %s%s", what, e.Protocol, inside, address(e.External), handshake)
		}
		return fmt.Sprintf("%s: %s %s → %s, outside %s%s", what, e.Protocol, inside, remote(e), address(e.External), handshake)
	case d.kind == binding && e.ID == BindingSessionCount:
		return fmt.Sprintf("binding has %d sessions: %s %s = %s", e.SessionCount, e.Protocol, inside, address(e.External))
	case d.kind == binding:
		return fmt.Sprintf("%s: %s %s = %s", d.what, e.Protocol, inside, address(e.External))
	case e.Packet != nil:
		return e.Packet.short(e)
	case e.ID == DroppedPacket:
		return fmt.Sprintf("dropped, %s: %s", e.Drop.Reason, e.Drop.Text())
	}
	return e.Message()
}

// remote is the outside party, with its name if that is known; of ICMP it has no port.
func remote(e Event) string {
	text := address(e.InternalDestination)
	if e.Protocol == model.ICMP {
		text = e.InternalDestination.Addr().String()
	}
	if e.RemoteName != "" {
		text += " (" + e.RemoteName + ")"
	}
	return text
}

func causeText(c model.EndCause) string {
	if c == "" {
		return ""
	}
	return ", " + string(c)
}

func handshakeText(h model.Handshake) string {
	if text := h.Text(); text != "" {
		return "; " + text
	}
	return ""
}

func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return "unknown"
	}
	return a.String()
}
