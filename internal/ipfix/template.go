package ipfix

import (
	"encoding/binary"
	"net/netip"
	"time"
)

var order = binary.BigEndian

// Sets below 256 are templates (RFC 7011 section 3.3.2).
const (
	templateSet        = 2
	optionsTemplateSet = 3
)

// variable is the length of an element that says itself how long it is (RFC 7011 section 7).
const variable = 65535

// field is an information element of a template, and how it is written.
type field struct {
	id, size uint16
	put      func([]byte, *Record) []byte
}

// The elements by IANA's registry; from 463 on they are RFC 8158's.
var (
	observationTimeMilliseconds      = field{323, 8, func(b []byte, r *Record) []byte { return putTime(b, r.Time) }}
	natInstanceID                    = field{463, 4, func(b []byte, r *Record) []byte { return order.AppendUint32(b, r.Instance) }}
	natEvent                         = field{230, 1, func(b []byte, r *Record) []byte { return append(b, byte(r.Event)) }}
	protocolIdentifier               = field{4, 1, func(b []byte, r *Record) []byte { return append(b, r.Protocol) }}
	sourceIPv4Address                = field{8, 4, func(b []byte, r *Record) []byte { return putAddress(b, r.Internal) }}
	sourceTransportPort              = field{7, 2, func(b []byte, r *Record) []byte { return putPort(b, r.Internal) }}
	postNATSourceIPv4Address         = field{225, 4, func(b []byte, r *Record) []byte { return putAddress(b, r.External) }}
	postNAPTSourceTransportPort      = field{227, 2, func(b []byte, r *Record) []byte { return putPort(b, r.External) }}
	destinationIPv4Address           = field{12, 4, func(b []byte, r *Record) []byte { return putAddress(b, r.Remote) }}
	destinationTransportPort         = field{11, 2, func(b []byte, r *Record) []byte { return putPort(b, r.Remote) }}
	postNATDestinationIPv4Address    = field{226, 4, func(b []byte, r *Record) []byte { return putAddress(b, r.Remote) }}
	postNAPTDestinationTransportPort = field{228, 2, func(b []byte, r *Record) []byte { return putPort(b, r.Remote) }}
	internalAddressRealm             = field{464, variable, func(b []byte, r *Record) []byte { return putText(b, r.Realm) }}
	natQuotaExceededEvent            = field{466, 4, func(b []byte, r *Record) []byte { return order.AppendUint32(b, uint32(r.Quota)) }}
	maxSessionEntries                = field{471, 4, func(b []byte, r *Record) []byte { return order.AppendUint32(b, r.Limit) }}
	maxEntriesPerUser                = field{473, 4, func(b []byte, r *Record) []byte { return order.AppendUint32(b, r.Limit) }}
)

// The templates' numbers.
const (
	translationTemplate = 256 + iota
	sessionTemplate
	portsTemplate
	sessionsQuotaTemplate
	userQuotaTemplate
	lossesTemplate
)

// template says what the records of one kind have.
type template struct {
	id     uint16
	fields []field
}

// translation is what sessions and bindings have (RFC 8158 sections 5.6.1 and 5.6.3): they
// differ in natEvent alone while no remotes are told.
var translation = []field{
	observationTimeMilliseconds, natInstanceID, natEvent, protocolIdentifier,
	sourceIPv4Address, sourceTransportPort, postNATSourceIPv4Address, postNAPTSourceTransportPort,
}

// templates are all, each at its number less 256.
var templates = []template{
	{translationTemplate, with(translation, internalAddressRealm)},
	{sessionTemplate, with(translation, destinationIPv4Address, destinationTransportPort,
		postNATDestinationIPv4Address, postNAPTDestinationTransportPort, internalAddressRealm)},
	{portsTemplate, []field{observationTimeMilliseconds, natInstanceID, natEvent, postNATSourceIPv4Address, protocolIdentifier}},
	{sessionsQuotaTemplate, []field{observationTimeMilliseconds, natInstanceID, natEvent, natQuotaExceededEvent, maxSessionEntries}},
	{userQuotaTemplate, []field{observationTimeMilliseconds, natInstanceID, natEvent, natQuotaExceededEvent, maxEntriesPerUser,
		sourceIPv4Address, internalAddressRealm}},
}

func with(fields []field, more ...field) []field {
	return append(append([]field(nil), fields...), more...)
}

// lossesFields is the exporting process's reliability (RFC 7011 section 4.3): the first is
// the scope, the two times are those of the first and of the last loss. How many packets and
// octets the lost records were about is not told: events count none.
var lossesFields = []field{{144, 4, nil}, {167, 8, nil}, {323, 8, nil}, {323, 8, nil}}

// templateOf is the template by which a record is written.
func templateOf(r *Record) template {
	id := translationTemplate
	switch {
	case r.Event == PortsExhausted:
		id = portsTemplate
	case r.Event == QuotaExceeded && r.Quota == MaxPerUser:
		id = userQuotaTemplate
	case r.Event == QuotaExceeded:
		id = sessionsQuotaTemplate
	case r.Remote.IsValid():
		id = sessionTemplate
	}
	return templates[id-translationTemplate]
}

func putTime(b []byte, t time.Time) []byte {
	return order.AppendUint64(b, uint64(t.UnixMilli()))
}

func putAddress(b []byte, a netip.AddrPort) []byte {
	if !a.Addr().Unmap().Is4() {
		return append(b, 0, 0, 0, 0)
	}
	four := a.Addr().As4()
	return append(b, four[:]...)
}

func putPort(b []byte, a netip.AddrPort) []byte { return order.AppendUint16(b, a.Port()) }

// putText writes an element of variable length (RFC 7011 section 7).
func putText(b []byte, text string) []byte {
	if len(text) < 255 {
		return append(append(b, byte(len(text))), text...)
	}
	text = text[:min(len(text), maxText)]
	return append(order.AppendUint16(append(b, 255), uint16(len(text))), text...)
}
