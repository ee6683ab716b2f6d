package store

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// Layout 1 is what hostnat wrote until November 2026 (the last was commit
// 9fe2e36): each object as JSON in a file of bbolt, by a letter and its id. What
// is read of it becomes records of today's layout at once.

const (
	bucket1      = "v2" // the name was that of bbolt's layout, not of ours
	sumKey1      = "sum"
	restKey1     = "rest"
	leaseBucket1 = "leases"
)

// readLayout1 reads a configuration of layout 1, if data is a file of bbolt.
func readLayout1(data []byte) (c contents, is bool) {
	file, is := openBolt(data)
	if !is {
		return contents{}, false
	}
	c = contents{condition: whole, head: head{what: whatConfiguration, version: 1}, layout1: true, revision: 1, beyond: 1}
	pairs, err := file.bucket(bucket1)
	switch {
	case err != nil:
		c.condition, c.why = damaged, err.Error()
		return c, true
	case pairs[restKey1] == nil:
		c.condition, c.why = damaged, "has no configuration in it"
		return c, true
	case !bytes.Equal(sumOf1(pairs), pairs[sumKey1]):
		c.condition, c.why = damaged, "does not match its checksum"
		return c, true
	}
	if c.objects, err = convertLayout1(pairs); err != nil {
		c.condition, c.why = damaged, "has a configuration that cannot be read: "+err.Error()
		return c, true
	}
	if file.metas == 1 { // it may be the one before the last change
		c.condition, c.why, c.beyond = damaged, "has lost one of its two headers: the configuration may be older than the last change", 2
	}
	return c, true
}

// sumOf1 is the exclusive or of the checksums of all objects.
func sumOf1(pairs map[string][]byte) []byte {
	total := make([]byte, sha256.Size)
	for key, text := range pairs {
		if key == sumKey1 {
			continue
		}
		h := sha256.New()
		h.Write([]byte{byte(len(key))})
		h.Write([]byte(key))
		h.Write(text)
		subtle.XORBytes(total, total, h.Sum(nil))
	}
	return total
}

// convertLayout1 makes today's objects of those of layout 1.
func convertLayout1(pairs map[string][]byte) (objects, error) {
	all := make(objects)
	for key, text := range pairs {
		var err error
		switch {
		case key == sumKey1:
		case key == restKey1:
			err = convertRest1(all, text)
		case len(key) == 5 && key[0] == 'a':
			err = convert1(all, kindNAT, text, nat1{}.withDefaults(text))
		case len(key) == 5 && key[0] == 'b':
			err = convert1(all, kindNetwork, text, network1{})
		case len(key) == 5 && key[0] == 'c':
			err = convert1(all, kindEndpoint, text, endpoint1{})
		case len(key) == 5 && key[0] == 'd':
			err = convert1(all, kindMapping, text, mapping1{})
		case len(key) == 5 && key[0] == 'e':
			err = convert1(all, kindProxy, text, proxy1{})
		default:
			err = fmt.Errorf("%q is nothing known", key)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// record1 is an object of layout 1; record is what it is now.
type record1 interface {
	record() (id uint32, r any, err error)
}

func convert1[T record1](all objects, kind string, text []byte, v T) error {
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	id, r, err := v.record()
	if err != nil {
		return fmt.Errorf("%s %d: %w", kind, id, err)
	}
	return all.put(kind+" "+strconv.FormatUint(uint64(id), 10), r)
}

func convertRest1(all objects, text []byte) error {
	var v struct {
		restRecord
		countersRecord
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	if err := all.put(countersKey, v.countersRecord); err != nil {
		return err
	}
	return all.put(restKey, v.restRecord)
}

// nat1 is a NAT of layout 1. Overflow is EndpointDependent now.
type nat1 struct {
	natRecord
	Overflow bool `json:"overflow"`
}

// withDefaults has what a NAT got that was stored before there was such a setting.
func (n nat1) withDefaults(text []byte) nat1 {
	head := struct {
		Profile model.Profile `json:"profile"`
	}{model.ProfileRFC}
	_ = json.Unmarshal(text, &head) // what is wrong with it is told by who reads the rest
	timeouts, filtering := head.Profile.Defaults()
	n.natRecord = natToRecord(model.NAT{
		Profile: head.Profile, Timeouts: timeouts, TCPFiltering: filtering, UDPFiltering: filtering,
		Pooling: model.Paired, HoldDown: head.Profile.HoldDown(), Exhaustion: model.Prohibited,
	})
	return n
}

func (n nat1) record() (uint32, any, error) {
	n.EndpointDependent = n.Overflow
	return n.ID, n.natRecord, nil
}

// network1 is a network of layout 1: one subnet and one gateway, routes and
// ranges as text, and words for what is empty now.
type network1 struct {
	networkRecord
	Subnet  netip.Prefix `json:"subnet"`
	Gateway netip.Addr   `json:"gateway"`
	Routes  []string     `json:"routes"`
	Ranges  []string     `json:"ranges"`
	Exclude []string     `json:"exclude"`
}

func (n network1) record() (uint32, any, error) {
	r := n.networkRecord
	r.Subnets, r.Gateways = []netip.Prefix{n.Subnet}, []netip.Addr{n.Gateway}
	for _, s := range []struct {
		field *string
		empty string
	}{{&r.Overlap, "keep"}, {&r.Isolation, "on"}, {&r.DNS, "on"}, {&r.DHCP, "on"}} {
		if *s.field == s.empty {
			*s.field = ""
		}
	}
	var err error
	if r.Ranges, err = ranges1(n.Ranges); err != nil {
		return n.ID, nil, err
	}
	if r.Exclude, err = ranges1(n.Exclude); err != nil {
		return n.ID, nil, err
	}
	for _, text := range n.Routes {
		prefix, via, _ := strings.Cut(text, "=")
		var route routeRecord
		if route.Prefix, err = netip.ParsePrefix(prefix); err != nil {
			return n.ID, nil, err
		}
		if route.Via, err = netip.ParseAddr(via); err != nil {
			return n.ID, nil, err
		}
		r.Routes = append(r.Routes, route)
	}
	return n.ID, r, nil
}

func ranges1(texts []string) (list []addressRangeRecord, err error) {
	for _, text := range texts {
		low, high, isRange := strings.Cut(text, "-")
		if !isRange {
			high = low
		}
		var r addressRangeRecord
		if r.Low, err = netip.ParseAddr(low); err != nil {
			return nil, err
		}
		if r.High, err = netip.ParseAddr(high); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

type endpoint1 struct {
	endpointRecord
	Address netip.Addr `json:"address"`
}

func (e endpoint1) record() (uint32, any, error) {
	e.Addresses = []netip.Addr{e.Address}
	return e.ID, e.endpointRecord, nil
}

// mapping1 is a mapping of layout 1. Before mappings had several targets, the
// only one's fields were the mapping's own.
type mapping1 struct {
	ID       uint32         `json:"id"`
	NAT      string         `json:"nat"`
	Protocol string         `json:"protocol"`
	External string         `json:"external"`
	Targets  []target1      `json:"targets"`
	From     []netip.Prefix `json:"from"`
	target1
}

type target1 struct {
	Endpoint string `json:"endpoint"`
	Network  string `json:"network"`
	MAC      string `json:"mac"`
	Internal string `json:"internal"`
}

func (m mapping1) record() (uint32, any, error) {
	r := mappingRecord{ID: m.ID, NAT: m.NAT, From: m.From}
	var err error
	if r.Protocol, err = protocol1(m.Protocol); err != nil {
		return m.ID, nil, err
	}
	if r.External, err = addrPorts1(m.External); err != nil {
		return m.ID, nil, err
	}
	if len(m.Targets) == 0 {
		m.Targets = []target1{m.target1}
	}
	for _, t := range m.Targets {
		internal, err := addrPorts1(t.Internal)
		if err != nil {
			return m.ID, nil, err
		}
		r.Targets = append(r.Targets, targetRecord{t.Endpoint, t.Network, t.MAC, internal})
	}
	return m.ID, r, nil
}

// proxy1 is a port proxy of layout 1.
type proxy1 struct {
	ID            uint32        `json:"id"`
	Kind          string        `json:"kind"`
	Protocol      string        `json:"protocol"`
	Listen        string        `json:"listen"`
	Connect       string        `json:"connect"`
	Routes        []proxyRoute1 `json:"routes"`
	ProxyProtocol bool          `json:"proxyProtocol"`
	Transparent   bool          `json:"transparent"`
}

type proxyRoute1 struct {
	Pattern string `json:"pattern"`
	Connect string `json:"connect"`
}

func (p proxy1) record() (uint32, any, error) {
	r := proxyRecord{ID: p.ID, Kind: p.Kind, ProxyProtocol: p.ProxyProtocol, Transparent: p.Transparent}
	var err error
	if r.Protocol, err = protocol1(p.Protocol); err != nil {
		return p.ID, nil, err
	}
	if r.Listen, err = hostPorts1(p.Listen); err != nil {
		return p.ID, nil, err
	}
	if p.Connect != "" {
		if r.Connect, err = hostPorts1(p.Connect); err != nil {
			return p.ID, nil, err
		}
	}
	for _, route := range p.Routes {
		connect, err := hostPorts1(route.Connect)
		if err != nil {
			return p.ID, nil, err
		}
		r.Routes = append(r.Routes, proxyRouteRecord{route.Pattern, connect})
	}
	return p.ID, r, nil
}

func protocol1(s string) (uint8, error) {
	numbers := map[string]uint8{"icmp": 1, "tcp": 6, "udp": 17, "any": 255}
	n, known := numbers[s]
	if !known {
		return 0, fmt.Errorf("protocol %.20q is not known", s)
	}
	return n, nil
}

// addrPorts1 reads A, A:PORT and A:LOW-HIGH.
func addrPorts1(s string) (addrPortsRecord, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return addrPortsRecord{Address: a}, nil
	}
	h, err := hostPorts1(s)
	if err != nil {
		return addrPortsRecord{}, err
	}
	a, err := netip.ParseAddr(h.Host)
	return addrPortsRecord{a, h.Ports}, err
}

// hostPorts1 reads HOST:PORT and HOST:LOW-HIGH; an IPv6 address is in brackets.
func hostPorts1(s string) (hostPortsRecord, error) {
	bad := fmt.Errorf("%.60q is no host with ports", s)
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return hostPortsRecord{}, bad
	}
	host := s[:at]
	if inner, is := strings.CutPrefix(host, "["); is {
		host = strings.TrimSuffix(inner, "]")
	}
	low, high, isRange := strings.Cut(s[at+1:], "-")
	if !isRange {
		high = low
	}
	first, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return hostPortsRecord{}, bad
	}
	last, err := strconv.ParseUint(high, 10, 16)
	if err != nil || last < first {
		return hostPortsRecord{}, bad
	}
	return hostPortsRecord{host, portsRecord{uint16(first), uint16(last)}}, nil
}

// readLeases1 reads leases of layout 1, if data is a file of bbolt. One that
// cannot be read is left out: its client asks again.
func readLeases1(data []byte) (c contents, is bool) {
	file, is := openBolt(data)
	if !is {
		return contents{}, false
	}
	c = contents{condition: whole, head: head{what: whatLeases, version: 1}, layout1: true, objects: make(objects), revision: 1, beyond: 1}
	pairs, err := file.bucket(leaseBucket1)
	if err != nil {
		c.condition, c.why = damaged, err.Error()
	}
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		var r leaseRecord
		if json.Unmarshal(pairs[key], &r) == nil && r.Network+"\x00"+r.Address.String() == key && r.Expires.After(time.Time{}) {
			if err := c.objects.put(leaseKey(r), r); err != nil {
				c.condition, c.why = damaged, err.Error()
			}
		}
	}
	return c, true
}
