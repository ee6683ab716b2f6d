package nat

import (
	"net/netip"
	"strings"
)

// addressPattern selects addresses with ports. The zero value selects all.
type addressPattern struct {
	prefix netip.Prefix // not valid: any
	port   uint16       // 0: any
}

func (p addressPattern) match(a netip.AddrPort) bool {
	return (!p.prefix.IsValid() || p.prefix.Contains(a.Addr())) && (p.port == 0 || p.port == a.Port())
}

// parseAddressPattern reads "", A, A:PORT, :PORT or a prefix.
func parseAddressPattern(what, s string) (p addressPattern, err error) {
	if s == "" {
		return p, nil
	}
	if strings.Contains(s, "/") {
		if p.prefix, err = parsePrefix(what, s); err != nil {
			return addressPattern{}, err
		}
		p.prefix = p.prefix.Masked()
		return p, nil
	}
	host, port, hasPort := cutPort(s)
	if hasPort {
		if p.port, err = ParsePort(what, port); err != nil {
			return addressPattern{}, err
		}
	}
	if hasPort && host == "" {
		return p, nil
	}
	a, err := ParseIPv4(what, host)
	if err != nil {
		return addressPattern{}, err
	}
	p.prefix = netip.PrefixFrom(a, 32)
	return p, nil
}
