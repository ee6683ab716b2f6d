package dns

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Learned is what a client is told: the addresses of a name.
type Learned struct {
	Compartment string
	Client      netip.Addr
	Name        string // that it has asked for, without the last dot, in lower case
	Addresses   []netip.Addr
	Keep        time.Duration // how long the answer may be kept
}

// learnedIn fills in the compartment; nil if nobody wants to know.
func (s *Server) learnedIn(compartment string) func(Learned) {
	if s.learned == nil {
		return nil
	}
	return func(l Learned) {
		l.Compartment = compartment
		s.learned(l)
	}
}

// learn tells of an answer. What the host's own programs ask for is their matter: their
// connections are no sessions of ours.
func (l *listener) learn(q *query, raw []byte, client netip.Addr) {
	if l.learned == nil || client == l.gateway || q.question.Qtype != dns.TypeA || q.question.Qclass != dns.ClassINET {
		return
	}
	if addresses, keep := addressesIn(raw, q.name); len(addresses) > 0 {
		l.learned(Learned{Client: client, Name: strings.TrimSuffix(q.name, "."), Addresses: addresses, Keep: keep})
	}
}

// mostLearned is of how many addresses of one answer notice is taken.
const mostLearned = 64

// addressesIn returns the IPv4 addresses that an answer has for a name, at the end of a
// chain of aliases too (RFC 1034 section 3.6.2), and how long they may be kept: as long
// as each alias and address on the way may.
func addressesIn(raw []byte, name string) (addresses []netip.Addr, keep time.Duration) {
	var m dns.Msg
	if m.Unpack(raw) != nil || m.Rcode != dns.RcodeSuccess {
		return nil, 0
	}
	aliases, seconds := map[string]*dns.CNAME{}, ^uint32(0)
	for _, rr := range m.Answer {
		if c, is := rr.(*dns.CNAME); is {
			aliases[strings.ToLower(c.Hdr.Name)] = c
		}
	}
	for range len(aliases) { // one that leads back to itself ends, too
		if c := aliases[name]; c != nil {
			name, seconds = strings.ToLower(c.Target), min(seconds, c.Hdr.Ttl)
		}
	}
	for _, rr := range m.Answer {
		a, is := rr.(*dns.A)
		if !is || strings.ToLower(a.Hdr.Name) != name || len(addresses) == mostLearned {
			continue
		}
		if address, ok := netip.AddrFromSlice(a.A.To4()); ok {
			addresses, seconds = append(addresses, address), min(seconds, a.Hdr.Ttl)
		}
	}
	return addresses, time.Duration(seconds) * time.Second
}
