package dns

import (
	"net/netip"

	"github.com/miekg/dns"
)

// ttl is how many seconds others may keep our answers: names come and go.
const ttl = 5

// answer returns the answer to a query, nil if the host's resolvers know.
func (z *Zone) answer(q *query) *dns.Msg {
	switch t := q.question.Qtype; {
	case q.opt != nil && q.opt.Version() != 0:
		return q.reply(dns.RcodeBadVers) // RFC 6891 section 6.1.3
	case q.question.Qclass != dns.ClassINET:
		return q.reply(dns.RcodeRefused)
	case t == dns.TypeAXFR || t == dns.TypeIXFR:
		return q.reply(dns.RcodeRefused)
	// These are no types of records (RFC 6895 section 3.1).
	case t == dns.TypeNone || t == dns.TypeOPT || t >= 128 && t < dns.TypeANY:
		return q.reply(dns.RcodeNotImplemented)
	}
	if m := z.local(q); m != nil {
		return m
	}
	if q.question.Qtype == dns.TypeANY {
		return q.any()
	}
	if z.closed {
		return q.failure(dns.ExtendedErrorCodeProhibited, "the network has no way out")
	}
	return nil
}

// local answers for names that are ours, and for those that are nobody's.
func (z *Zone) local(q *query) *dns.Msg {
	if addresses, known := z.addressesOf(q.name); known {
		return q.records(z.authority(q), addressRecords(q, addresses))
	}
	if domain := z.domain(q.name); domain != "" {
		return z.missing(q, domain)
	}
	if p, is := reversed(q.name); is {
		if subnet := z.subnet(p); subnet.IsValid() {
			return z.reverse(q, p, subnet)
		}
	}
	switch domain := specialDomain(q.name, q.question.Qtype); domain {
	case "":
		return nil
	case "localhost.": // RFC 6761 section 6.3
		return q.records(domain, addressRecords(q, loopback))
	case "127.in-addr.arpa.", loopbackName6:
		if q.name == loopbackName4 || q.name == loopbackName6 {
			return q.records(domain, nameRecord(q, "localhost."))
		}
		return z.missing(q, domain)
	default:
		return z.missing(q, domain)
	}
}

var (
	loopback      = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	loopbackName4 = "1.0.0.127.in-addr.arpa."
	loopbackName6 = reverseIPv6(1)
)

// reverse answers for an address of a network's subnet. What is about several
// addresses may have names below it and so exists (RFC 8020).
func (z *Zone) reverse(q *query, p, subnet netip.Prefix) *dns.Msg {
	zone := reverseZone(subnet)
	if !p.IsSingleIP() {
		return q.nothing(zone, dns.RcodeSuccess)
	}
	if name, known := z.nameOf(p.Addr()); known {
		return q.records(zone, nameRecord(q, name))
	}
	return q.nothing(zone, dns.RcodeNameError)
}

// missing answers for a name without an address in a domain that nobody else
// may be asked about.
func (z *Zone) missing(q *query, domain string) *dns.Msg {
	switch {
	case q.name == domain && q.question.Qtype == dns.TypeSOA:
		return q.records(domain, []dns.RR{soa(domain)})
	case q.name == domain && q.question.Qtype == dns.TypeNS:
		return q.records(domain, []dns.RR{&dns.NS{Hdr: header(q.question.Name, dns.TypeNS), Ns: hostName}})
	case q.name == domain || z.isParent(q.name):
		return q.records(domain, nil)
	}
	return q.nothing(domain, dns.RcodeNameError)
}

// authority is the zone that a name of ours is in.
func (z *Zone) authority(q *query) string {
	if domain := z.domain(q.name); domain != "" {
		return domain
	}
	if q.name == hostName {
		return "internal."
	}
	return q.name // a bare one
}

// reply starts an answer.
func (q *query) reply(code int) *dns.Msg {
	m := &dns.Msg{MsgHdr: q.header, Question: []dns.Question{q.question}}
	m.Response, m.RecursionAvailable, m.Rcode = true, true, code
	if q.opt != nil {
		m.SetEdns0(largeSize, q.opt.Do())
	}
	return m
}

// records answers with what a name has, or that it has nothing of that type.
func (q *query) records(zone string, records []dns.RR) *dns.Msg {
	if q.question.Qtype == dns.TypeANY {
		return q.any()
	}
	if len(records) == 0 {
		return q.nothing(zone, dns.RcodeSuccess)
	}
	m := q.reply(dns.RcodeSuccess)
	m.Authoritative, m.Answer = true, records
	return m
}

// nothing answers that there is no such name, or nothing of that type: with the
// zone's SOA, so that it can be remembered (RFC 2308 sections 2 and 3).
func (q *query) nothing(zone string, code int) *dns.Msg {
	m := q.reply(code)
	m.Authoritative, m.Ns = true, []dns.RR{soa(zone)}
	return m
}

// any answers a question for records of all types as RFC 8482 section 4.2 says.
func (q *query) any() *dns.Msg {
	m := q.reply(dns.RcodeSuccess)
	m.Answer = []dns.RR{&dns.HINFO{Hdr: header(q.question.Name, dns.TypeHINFO), Cpu: "RFC8482"}}
	return m
}

// addressRecords are the addresses of the type asked for. Of several, each comes
// first now and then: clients take the first.
func addressRecords(q *query, addresses []netip.Addr) []dns.RR {
	var records []dns.RR
	for i := range addresses {
		a := addresses[(i+int(q.header.Id))%len(addresses)]
		switch {
		case q.question.Qtype == dns.TypeA && a.Is4():
			records = append(records, &dns.A{Hdr: header(q.question.Name, dns.TypeA), A: a.AsSlice()})
		case q.question.Qtype == dns.TypeAAAA && a.Is6():
			records = append(records, &dns.AAAA{Hdr: header(q.question.Name, dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	return records
}

func nameRecord(q *query, name string) []dns.RR {
	if q.question.Qtype != dns.TypePTR {
		return nil
	}
	return []dns.RR{&dns.PTR{Hdr: header(q.question.Name, dns.TypePTR), Ptr: name}}
}

// soa has the values of RFC 6303 section 3, but for the time that a missing
// name may be remembered.
func soa(zone string) *dns.SOA {
	return &dns.SOA{Hdr: header(zone, dns.TypeSOA), Ns: hostName, Mbox: "nobody.invalid.",
		Serial: 1, Refresh: 3600, Retry: 1200, Expire: 604800, Minttl: ttl}
}

func header(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// failure answers that the host's resolvers could not be asked, and why, if the
// client can read that (RFC 8914).
func (q *query) failure(code uint16, why string) *dns.Msg {
	m := q.reply(dns.RcodeServerFailure)
	if opt := m.IsEdns0(); opt != nil {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: why})
	}
	return m
}

// pack encodes an answer in at most size bytes: what does not fit is left out,
// and the client told to come by TCP.
func pack(m *dns.Msg, size int) []byte {
	if m.Len() > size {
		m.Truncate(size)
	}
	raw, err := m.Pack()
	if err != nil {
		return nil
	}
	return raw
}
