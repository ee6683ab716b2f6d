package foreign

import (
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/internal/config/wanted"
)

// virNetwork is what matters here of libvirt's network XML.
type virNetwork struct {
	Name    string `xml:"name"`
	Forward *struct {
		Mode string `xml:"mode,attr"`
	} `xml:"forward"`
	MTU struct {
		Size string `xml:"size,attr"`
	} `xml:"mtu"`
	Domain struct {
		Name string `xml:"name,attr"`
	} `xml:"domain"`
	DNS struct {
		Enable string `xml:"enable,attr"`
	} `xml:"dns"`
	IPs []virIP `xml:"ip"`
}

type virIP struct {
	Family  string `xml:"family,attr"`
	Address string `xml:"address,attr"`
	Netmask string `xml:"netmask,attr"`
	Prefix  string `xml:"prefix,attr"`
	DHCP    *struct {
		Ranges []struct {
			Start string `xml:"start,attr"`
			End   string `xml:"end,attr"`
		} `xml:"range"`
		Hosts []struct {
			MAC  string `xml:"mac,attr"`
			Name string `xml:"name,attr"`
			IP   string `xml:"ip,attr"`
		} `xml:"host"`
		Boot struct {
			File   string `xml:"file,attr"`
			Server string `xml:"server,attr"`
		} `xml:"bootp"`
	} `xml:"dhcp"`
}

// Libvirt reads what 'virsh net-dumpxml' prints, for one network or several after
// each other.
func Libvirt(text string) (Proposal, error) {
	var p Proposal
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if len(p.Networks) > 0 {
				p.note("The subnets are libvirt's now: its networks have to go (virsh net-destroy) before hostnat can have them.")
			}
			return p, nil
		}
		if err != nil {
			return p, fmt.Errorf("read the XML: %w", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "network" {
			continue
		}
		var n virNetwork
		if err := d.DecodeElement(&n, &start); err != nil {
			return p, fmt.Errorf("read the XML: %w", err)
		}
		if err := p.addVirNetwork(n); err != nil {
			return p, fmt.Errorf("network %s: %w", n.Name, err)
		}
	}
}

func (p *Proposal) addVirNetwork(n virNetwork) error {
	w := wanted.Network{Name: name(n.Name), Domain: n.Domain.Name, MTU: n.MTU.Size}
	switch mode := n.mode(); mode {
	case "":
		w.NAT = "none"
	case "nat":
	case "route", "open":
		p.note("Network %s is routed in libvirt (forward mode %s): here its machines are behind a NAT.", n.Name, mode)
	default:
		p.note("Network %s is left out: with forward mode %s it is another's switch, not libvirt's.", n.Name, mode)
		return nil
	}
	if n.DNS.Enable == "no" {
		w.DNS = "off"
	}
	dhcp := false
	for _, ip := range n.IPs {
		if ip.Family == "ipv6" || strings.Contains(ip.Address, ":") {
			p.note("Network %s has %s: networks have no IPv6 yet.", n.Name, ip.Address)
			continue
		}
		if len(w.Subnets) > 0 {
			p.note("Network %s has a second subnet, of %s: a network has one.", n.Name, ip.Address)
			continue
		}
		subnet, err := ip.subnet()
		if err != nil {
			return err
		}
		w.Subnets, w.Gateways = []string{subnet.Masked().String()}, []string{subnet.Addr().String()}
		if ip.DHCP != nil {
			dhcp = true
			p.addVirDHCP(&w, ip)
		}
	}
	if !dhcp {
		w.DHCP = "off"
	}
	p.Networks = append(p.Networks, w)
	return nil
}

func (n virNetwork) mode() string {
	if n.Forward == nil {
		return ""
	}
	if n.Forward.Mode == "" {
		return "nat"
	}
	return n.Forward.Mode
}

func (p *Proposal) addVirDHCP(w *wanted.Network, ip virIP) {
	for _, r := range ip.DHCP.Ranges {
		w.Ranges = append(w.Ranges, r.Start+"-"+r.End)
	}
	w.PXE = wanted.PXE{NextServer: ip.DHCP.Boot.Server, BootFile: ip.DHCP.Boot.File}
	for _, h := range ip.DHCP.Hosts {
		if h.IP == "" {
			p.note("Host %s%s of network %s has a name alone: a client gives its name itself.", h.MAC, h.Name, w.Name)
			continue
		}
		r := wanted.Reservation{Network: w.Name, Address: h.IP, MAC: h.MAC}
		if h.MAC == "" {
			r.Name = h.Name
		}
		p.Reservations = append(p.Reservations, r)
	}
}

// subnet is the host's address with the prefix length.
func (ip virIP) subnet() (netip.Prefix, error) {
	if ip.Prefix != "" {
		return netip.ParsePrefix(ip.Address + "/" + ip.Prefix)
	}
	address, err := netip.ParseAddr(ip.Address)
	if err != nil {
		return netip.Prefix{}, err
	}
	mask, err := netip.ParseAddr(ip.Netmask)
	if err != nil || !mask.Is4() {
		return netip.Prefix{}, fmt.Errorf("netmask %q is none of IPv4", ip.Netmask)
	}
	four := mask.As4()
	length := bits.LeadingZeros32(^binary.BigEndian.Uint32(four[:]))
	if netip.PrefixFrom(mask, length).Masked().Addr() != mask {
		return netip.Prefix{}, fmt.Errorf("netmask %s has a gap", ip.Netmask)
	}
	return netip.PrefixFrom(address, length), nil
}
