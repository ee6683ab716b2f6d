package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// IPsecPolicy is an IPv4 policy of the kernel (`ip xfrm policy`) for packets that
// leave or are forwarded.
type IPsecPolicy struct {
	Forwarded                   bool // it is for packets that are forwarded; else for all that leave
	Source, Destination         netip.Prefix
	SourcePort, DestinationPort PortMask
	Protocol                    uint8  // 0: any
	Interface                   uint32 // by which the packet leaves; 0: any
	Passes                      bool   // what it selects may leave as it is
	Priority                    uint32
}

// PortMask selects ports: those that are Port in the bits of Mask, host order. Of
// ICMP the source port is the type and the destination port the code.
type PortMask struct{ Port, Mask uint16 }

// Numbers of linux/xfrm.h.
const (
	ipsecOut        = 1
	ipsecForward    = 2
	ipsecBlock      = 1    // a policy's action, and a default
	ipsecGetDefault = 0x28 // XFRM_MSG_GETDEFAULT, Linux 5.15
)

// IPsecPolicies returns the policies in the order in which the kernel asks them: of
// each direction, the first that selects a packet counts. What counts where none
// does is the last. Left out are those of IPsec interfaces, which protect by
// themselves what is routed there, and those for packets with a mark. A kernel
// without IPsec has none.
func IPsecPolicies(ctx context.Context) ([]IPsecPolicy, error) {
	messages, err := Dump(ctx, func() ([][]byte, error) {
		req := nl.NewNetlinkRequest(nl.XFRM_MSG_GETPOLICY, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_INET))
		return req.Execute(unix.NETLINK_XFRM, nl.XFRM_MSG_NEWPOLICY)
	})
	if hasNoIPsec(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list IPsec policies: %w", err)
	}
	var policies []IPsecPolicy
	for _, m := range messages {
		p, counts, err := parseIPsecPolicy(m)
		if err != nil {
			return nil, err
		}
		if counts {
			policies = append(policies, p)
		}
	}
	slices.SortStableFunc(policies, func(a, b IPsecPolicy) int { return cmp.Compare(a.Priority, b.Priority) })
	return append(policies, ipsecDefaults()...), nil
}

// hasNoIPsec is told by the error of who asks a kernel that was built without it.
func hasNoIPsec(err error) bool {
	return errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT)
}

func parseIPsecPolicy(message []byte) (p IPsecPolicy, counts bool, err error) {
	if len(message) < nl.SizeofXfrmUserpolicyInfo {
		return p, false, fmt.Errorf("parse IPsec policy: %d bytes", len(message))
	}
	info := nl.DeserializeXfrmUserpolicyInfo(message)
	attributes, err := nl.ParseRouteAttr(message[nl.SizeofXfrmUserpolicyInfo:])
	if err != nil {
		return p, false, fmt.Errorf("parse IPsec policy: %w", err)
	}
	s := info.Sel
	if s.Family != unix.AF_INET || info.Dir != ipsecOut && info.Dir != ipsecForward || s.PrefixlenS > 32 || s.PrefixlenD > 32 {
		return p, false, nil
	}
	p = IPsecPolicy{
		Forwarded:       info.Dir == ipsecForward,
		Source:          netip.PrefixFrom(netip.AddrFrom4([4]byte(s.Saddr[:4])), int(s.PrefixlenS)).Masked(),
		Destination:     netip.PrefixFrom(netip.AddrFrom4([4]byte(s.Daddr[:4])), int(s.PrefixlenD)).Masked(),
		SourcePort:      PortMask{nl.Swap16(s.Sport), nl.Swap16(s.SportMask)},
		DestinationPort: PortMask{nl.Swap16(s.Dport), nl.Swap16(s.DportMask)},
		Protocol:        s.Proto,
		Interface:       uint32(s.Ifindex),
		Passes:          info.Action != ipsecBlock,
		Priority:        info.Priority,
	}
	return p, p.addAttributes(attributes), nil
}

// addAttributes reports whether the policy is asked for packets that have no mark
// and that no IPsec interface has made.
func (p *IPsecPolicy) addAttributes(attributes []syscall.NetlinkRouteAttr) bool {
	for _, a := range attributes {
		switch a.Attr.Type {
		case nl.XFRMA_TMPL:
			if p.needsProtection(a.Value) {
				p.Passes = false
			}
		case nl.XFRMA_MARK:
			if len(a.Value) >= nl.SizeofXfrmMark && nl.DeserializeXfrmMark(a.Value).Value != 0 {
				return false
			}
		case nl.XFRMA_IF_ID:
			if len(a.Value) >= 4 && nl.NativeEndian().Uint32(a.Value) != 0 {
				return false
			}
		}
	}
	return true
}

// needsProtection looks at a policy's templates: what leaves is protected where
// that can be, and what was forwarded must have come protected unless all of them
// are optional.
func (p *IPsecPolicy) needsProtection(templates []byte) bool {
	for len(templates) >= nl.SizeofXfrmUserTmpl {
		if !p.Forwarded || nl.DeserializeXfrmUserTmpl(templates).Optional == 0 {
			return true
		}
		templates = templates[nl.SizeofXfrmUserTmpl:]
	}
	return false
}

// ipsecDefaults are what counts where no policy selects a packet (`ip xfrm policy
// getdefault`). Kernels that have no such default let it pass.
func ipsecDefaults() (policies []IPsecPolicy) {
	req := nl.NewNetlinkRequest(ipsecGetDefault, 0)
	req.AddData(ipsecDefault{})
	messages, err := req.Execute(unix.NETLINK_XFRM, ipsecGetDefault)
	if err != nil || len(messages) == 0 || len(messages[0]) < len(ipsecDefault{}) {
		return nil
	}
	everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	for i, forwarded := range []bool{true, false} { // the first byte is what comes in
		if messages[0][1+i] == ipsecBlock {
			policies = append(policies, IPsecPolicy{Forwarded: forwarded, Source: everything, Destination: everything, Priority: ^uint32(0)})
		}
	}
	return policies
}

// ipsecDefault is struct xfrm_userpolicy_default: in, forwarded, out.
type ipsecDefault [3]byte

func (ipsecDefault) Len() int { return 3 }

func (d ipsecDefault) Serialize() []byte { return d[:] }
