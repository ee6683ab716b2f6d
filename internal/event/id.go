package event

import (
	"slices"
	"strconv"
	"strings"
)

// ID says what happened. Up to 1999 the numbers are Microsoft-Windows-WinNat's,
// from 2001 on hostnat's own.
type ID uint16

// The events that exist today.
const (
	SessionCreate           ID = 1001
	SessionTimerUpdate      ID = 1002
	SessionTCPStateUpdate   ID = 1003
	SessionTimeout          ID = 1004
	SessionDelete           ID = 1005
	BindingCreate           ID = 1006
	BindingDelete           ID = 1007
	BindingSessionCount     ID = 1008
	Translation             ID = 1009
	MemoryAllocationFailure ID = 1016 // here: a kernel table is full
	DroppedPacket           ID = 1030
	OutOfPorts              ID = 1033
	SkippedPacket           ID = 1034
	ForwardedPacket         ID = 1035
)

// hostnat's own events.
const (
	NetworkOverlap         ID = 2001 // the host got an address or route inside a network's subnet
	NetworkOverlapEnd      ID = 2002 // ... and lost it
	NetworkRenumber        ID = 2003 // a network moved to another subnet
	EndpointDependentBegin ID = 2011 // a NAT goes on with endpoint-dependent mapping
	EndpointDependentEnd   ID = 2012 // ... and has no such session any more
	EndpointLimited        ID = 2013 // an endpoint has all that its NAT allows it
	PortRefused            ID = 2020 // frames of a plugged-in port were refused
	ConfigurationChange    ID = 2040 // somebody has changed the configuration
	EventsLost             ID = 2030 // there was no room for some, since whoever reads them was too slow
)

// Level is how much an event matters to somebody who reads along.
type Level string

// The levels, from the least to the most urgent.
const (
	Verbose     Level = "verbose"
	Information Level = "information"
	Warning     Level = "warning"
	Error       Level = "error"
)

// levels in their order.
var levels = []Level{Verbose, Information, Warning, Error}

// Levels are all of them, the least urgent first.
func Levels() []Level { return slices.Clone(levels) }

// Reaches reports whether l is as urgent as least. One that is not known is not.
func (l Level) Reaches(least Level) bool {
	return slices.Index(levels, l) >= slices.Index(levels, least)
}

// kind says which of an Event's fields an ID gives a meaning to.
type kind uint8

const (
	other kind = iota
	session
	binding
	drop
	configuration
	translated
	forwarded
	skipped
)

// kindNames are how people name the kinds.
var kindNames = [...]string{"other", "session", "binding", "drop", "configuration", "translated", "forwarded", "skipped"}

var ids = map[ID]struct {
	name  string
	level Level
	kind  kind
	what  string // the first sentence of Message, without the protocol
}{
	SessionCreate:           {"SessionCreate", Information, session, "session created"},
	SessionTimerUpdate:      {"SessionTimerUpdate", Verbose, session, "session lifetime updated"},
	SessionTCPStateUpdate:   {"SessionTcpStateUpdate", Information, session, "session state updated"},
	SessionTimeout:          {"SessionTimeout", Information, session, "session timed out"},
	SessionDelete:           {"SessionDelete", Information, session, "session deleted"},
	BindingCreate:           {"BindingCreate", Information, binding, "binding created"},
	BindingDelete:           {"BindingDelete", Information, binding, "binding deleted"},
	BindingSessionCount:     {"BindingSessionCount", Information, binding, "binding session count updated"},
	MemoryAllocationFailure: {"MemoryAllocationFailure", Error, other, ""},
	DroppedPacket:           {"DroppedPacket", Warning, drop, ""},
	Translation:             {"Translation", Verbose, translated, ""},
	SkippedPacket:           {"SkippedPacket", Verbose, skipped, ""},
	ForwardedPacket:         {"ForwardedPacket", Verbose, forwarded, ""},
	OutOfPorts:              {"OutOfPorts", Warning, other, ""},
	NetworkOverlap:          {"NetworkOverlap", Warning, other, ""},
	NetworkOverlapEnd:       {"NetworkOverlapEnd", Information, other, ""},
	NetworkRenumber:         {"NetworkRenumber", Warning, other, ""},
	EndpointDependentBegin:  {"EndpointDependentBegin", Warning, other, ""},
	EndpointDependentEnd:    {"EndpointDependentEnd", Information, other, ""},
	EndpointLimited:         {"EndpointLimited", Warning, other, ""},
	PortRefused:             {"PortRefused", Warning, other, ""},
	ConfigurationChange:     {"ConfigurationChange", Information, configuration, ""},
	EventsLost:              {"EventsLost", Warning, other, ""},
}

// Name returns WinNAT's name of the event, or "Unknown".
func (id ID) Name() string {
	if d, ok := ids[id]; ok {
		return d.name
	}
	return "Unknown"
}

// Level returns how urgent events of this ID are; Verbose if it is not known.
func (id ID) Level() Level {
	if d, ok := ids[id]; ok {
		return d.level
	}
	return Verbose
}

// OfSession reports whether events of this ID are about a session.
func (id ID) OfSession() bool { return ids[id].kind == session }

// OfBinding reports whether events of this ID are about a binding.
func (id ID) OfBinding() bool { return ids[id].kind == binding }

// OfPackets reports whether events of this ID are about each packet that is not dropped:
// there are as many as packets.
func (id ID) OfPackets() bool {
	return slices.Contains([]kind{translated, forwarded, skipped}, ids[id].kind)
}

// Kind is what an event is about: one of Kinds.
func (id ID) Kind() string { return kindNames[ids[id].kind] }

// Kinds are what Kind returns.
func Kinds() []string { return kindNames[:] }

// Is reports whether text is the event's name or number.
func (id ID) Is(text string) bool {
	return strings.EqualFold(text, id.Name()) || text == strconv.Itoa(int(id))
}

// Known reports whether text is the name or number of an event.
func Known(text string) bool {
	for id := range ids {
		if id.Is(text) {
			return true
		}
	}
	return false
}
