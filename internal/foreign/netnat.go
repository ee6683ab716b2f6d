package foreign

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/internal/config/wanted"
)

// NetNat reads what Get-NetNat, Get-NetNatExternalAddress and Get-NetNatStaticMapping
// print, one after the other: lists of "Key : Value", or what ConvertTo-Json makes of
// the objects. What an object is shows by its keys.
func NetNat(text string) (Proposal, error) {
	objects, err := properties(text)
	if err != nil {
		return Proposal{}, err
	}
	var p Proposal
	for _, o := range objects {
		if _, ok := o["InternalIPInterfaceAddressPrefix"]; ok {
			if err := p.addNAT(o); err != nil {
				return p, err
			}
		}
	}
	for _, o := range objects {
		_, mapping := o["ExternalPort"]
		_, address := o["PortStart"]
		switch {
		case mapping:
			err = p.addStaticMapping(o)
		case address:
			err = p.addExternalAddress(o)
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// addNAT makes a NAT, and a network behind it, of a Windows NAT.
func (p *Proposal) addNAT(o map[string]string) error {
	n := wanted.NAT{
		Name: name(o["Name"]), Profile: "winnat",
		Timeouts:          wanted.Timeouts{UDP: o["UdpIdleSessionTimeout"], TCPEstablished: o["TcpEstablishedConnectionTimeout"], TCPTransitory: o["TcpTransientConnectionTimeout"], ICMP: o["IcmpQueryTimeout"]},
		UDPInboundRefresh: map[string]string{"true": "on", "1": "on", "false": "off", "0": "off"}[strings.ToLower(o["UdpInboundRefresh"])],
	}
	var err error
	if n.TCPFiltering, err = filtering(o["TcpFilteringBehavior"]); err == nil {
		n.UDPFiltering, err = filtering(o["UdpFilteringBehavior"])
	}
	if err != nil {
		return fmt.Errorf("NAT %s: %w", o["Name"], err)
	}
	p.NATs = append(p.NATs, n)
	if outside := o["ExternalIPInterfaceAddressPrefix"]; outside != "" {
		p.note("NAT %s was bound to the interface that has an address in %s: give it externalInterfaces or externalAddresses.", n.Name, outside)
	}
	inside := o["InternalIPInterfaceAddressPrefix"]
	if inside == "" {
		p.note("NAT %s has no internal prefix: no network is proposed for it.", n.Name)
		return nil
	}
	prefix, err := netip.ParsePrefix(inside)
	if err != nil {
		return fmt.Errorf("NAT %s: its internal prefix: %w", o["Name"], err)
	}
	w := wanted.Network{Name: n.Name, NAT: n.Name, Subnets: []string{prefix.Masked().String()}}
	if prefix.Addr() != prefix.Masked().Addr() { // HNS says the gateway so
		w.Gateways = []string{prefix.Addr().String()}
	}
	p.Networks = append(p.Networks, w)
	return nil
}

func filtering(value string) (string, error) {
	switch strings.TrimSuffix(strings.ToLower(value), "filtering") {
	case "":
		return "", nil
	case "endpointindependent", "0":
		return "endpoint-independent", nil
	case "addressdependent", "1":
		return "address-dependent", nil
	}
	return "", fmt.Errorf("filtering %q is not known", value)
}

func (p *Proposal) addExternalAddress(o map[string]string) error {
	nat := name(o["NatName"])
	address, _, _ := strings.Cut(o["IPAddress"], "/")
	if _, err := netip.ParseAddr(address); err != nil {
		return fmt.Errorf("external address of NAT %s: %w", o["NatName"], err)
	}
	if low, high := o["PortStart"], o["PortEnd"]; low != "" && low != "0" && high != "" && high != "0" {
		address += ":" + low + "-" + high
	}
	for i := range p.NATs {
		if p.NATs[i].Name == nat {
			p.NATs[i].ExternalAddresses = append(p.NATs[i].ExternalAddresses, address)
			return nil
		}
	}
	p.note("External address %s is NAT %s's, which is not in the file: print Get-NetNat too.", address, o["NatName"])
	return nil
}

func (p *Proposal) addStaticMapping(o map[string]string) error {
	protocol := map[string]string{"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp"}[strings.ToLower(o["Protocol"])]
	if protocol == "" {
		return fmt.Errorf("static mapping %s: protocol %q is neither TCP nor UDP", o["StaticMappingID"], o["Protocol"])
	}
	outside, _, _ := strings.Cut(o["ExternalIPAddress"], "/")
	inside := o["InternalPort"]
	if inside == "" || inside == "0" {
		inside = o["ExternalPort"]
	}
	m := wanted.Mapping{
		Protocol: protocol, External: external(outside, o["ExternalPort"]), Internal: []string{o["InternalIPAddress"] + ":" + inside},
		Network: p.networkOf(name(o["NatName"]), o["InternalIPAddress"]),
	}
	if from := o["RemoteExternalIPAddressPrefix"]; from != "" && from != "0.0.0.0/0" {
		m.From = []string{from}
	}
	if m.Network == "" {
		p.note("%s %s leads to %s, which is in no network of the file: hostnat refuses such a mapping until there is one.", protocol, m.External, o["InternalIPAddress"])
	}
	p.Mappings = append(p.Mappings, m)
	return nil
}

// networkOf is the network behind a NAT that has an address.
func (p *Proposal) networkOf(nat, address string) string {
	a, err := netip.ParseAddr(address)
	for _, n := range p.Networks {
		subnet, e := netip.ParsePrefix(n.Subnets[0])
		if err == nil && e == nil && n.NAT == nat && subnet.Contains(a) {
			return n.Name
		}
	}
	return ""
}

// properties reads objects as PowerShell prints them.
func properties(text string) ([]map[string]string, error) {
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "[") || strings.HasPrefix(trimmed, "{") {
		return jsonProperties(trimmed)
	}
	var list []map[string]string
	var now map[string]string
	last := ""
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimRight(line, " \n"), ":")
		key = strings.TrimSpace(key)
		switch {
		case strings.TrimSpace(line) == "":
			now = nil
		case strings.HasPrefix(line, " ") && now != nil: // a long value goes on
			now[last] += strings.TrimSpace(line)
		case !ok || strings.ContainsAny(key, " \t"):
			return nil, fmt.Errorf("line %q is no 'Key : Value': print the objects with Format-List or ConvertTo-Json", strings.TrimSpace(line))
		default:
			if now == nil {
				now = make(map[string]string)
				list = append(list, now)
			}
			now[key], last = strings.TrimSpace(value), key
		}
	}
	return list, nil
}

// jsonProperties reads one or several values of JSON, objects or lists of them.
func jsonProperties(text string) ([]map[string]string, error) {
	var list []map[string]string
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("read the JSON: %w", err)
		}
		var objects []map[string]any
		if err := decodeNumbers(raw, &objects); err != nil {
			var one map[string]any
			if err := decodeNumbers(raw, &one); err != nil {
				return nil, errors.New("read the JSON: it has neither an object nor a list of objects")
			}
			objects = []map[string]any{one}
		}
		for _, o := range objects {
			values := make(map[string]string, len(o))
			for key, v := range o {
				if v != nil {
					values[key] = fmt.Sprint(v)
				}
			}
			list = append(list, values)
		}
	}
	return list, nil
}

func decodeNumbers(raw json.RawMessage, into any) error {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	return d.Decode(into)
}
