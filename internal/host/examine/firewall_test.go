package examine

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

func eq(register uint32, data []byte) *expr.Cmp {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data}
}

func meta(key expr.MetaKey, data []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, eq(1, data)}
}

func rule(parts ...any) (list []expr.Any) {
	for _, p := range parts {
		switch p := p.(type) {
		case []expr.Any:
			list = append(list, p...)
		case expr.Any:
			list = append(list, p)
		}
	}
	return list
}

func source(prefix string) []expr.Any {
	p := netip.MustParsePrefix(prefix)
	mask := net.CIDRMask(p.Bits(), 32)
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: []byte{0, 0, 0, 0}},
		eq(1, p.Addr().AsSlice()),
	}
}

func state(states uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(states), Xor: []byte{0, 0, 0, 0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0, 0, 0, 0}},
	}
}

var accept = &expr.Verdict{Kind: expr.VerdictAccept}

// TestRuleFrom reads what nft and iptables-nft write.
func TestRuleFrom(t *testing.T) {
	t.Parallel()
	port := []byte{0x1f, 0x90}
	dport := []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, eq(1, port)}
	prefix := netip.MustParsePrefix("172.16.0.0/12")
	all := [2]uint16{0, 0xffff}
	tests := []struct {
		name string
		in   []expr.Any
		want Rule
	}{
		{"accept everything", rule(&expr.Counter{}, accept), Rule{Does: "accept"}},
		{"between two links", rule(meta(expr.MetaKeyIIFNAME, []byte("hn-web\x00")), meta(expr.MetaKeyOIFNAME, []byte("hn-web\x00")), accept),
			Rule{Match: Match{In: LinkMatch{Name: "hn-web"}, Out: LinkMatch{Name: "hn-web"}}, Does: "accept"}},
		{"names that begin so", rule(meta(expr.MetaKeyIIFNAME, []byte("hn-")), accept), Rule{Match: Match{In: LinkMatch{Name: "hn-", Begins: true}}, Does: "accept"}},
		{"Docker's masquerade", rule(source("172.16.0.0/12"), &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte("docker0\x00")}, &expr.Target{Name: "MASQUERADE", Info: &xt.NatIPv4MultiRangeCompat{}}),
			Rule{Match: Match{Source: PrefixMatch{Prefix: prefix}, Out: LinkMatch{Name: "docker0", Not: true}}, Does: "masquerade"}},
		{"nft's masquerade", rule(source("172.16.0.0/12"), &expr.Masq{}), Rule{Match: Match{Source: PrefixMatch{Prefix: prefix}}, Does: "masquerade"}},
		{"a short prefix, compared by its bytes", rule(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 2}, eq(1, []byte{10, 1}), accept),
			Rule{Match: Match{Destination: PrefixMatch{Prefix: netip.MustParsePrefix("10.1.0.0/16")}}, Does: "accept"}},
		{"a published port", rule(meta(expr.MetaKeyL4PROTO, []byte{6}), dport, &expr.NAT{Type: expr.NATTypeDestNAT}),
			Rule{Match: Match{Protocol: 6, Ports: PortMatch{8080, 8080}}, Does: "dnat"}},
		{"the same by iptables", rule(&expr.Match{Name: "tcp", Info: &xt.Tcp{SrcPorts: all, DstPorts: [2]uint16{8080, 8089}}}, &expr.Target{Name: "DNAT"}),
			Rule{Match: Match{Protocol: 6, Ports: PortMatch{8080, 8089}}, Does: "dnat"}},
		{"by its source port", rule(&expr.Match{Name: "udp", Info: &xt.Udp{SrcPorts: [2]uint16{68, 68}, DstPorts: all}}, accept),
			Rule{Match: Match{Protocol: 17, Unknown: true}, Does: "accept"}},
		{"established", rule(state(2|4), accept), Rule{Match: Match{Never: true}, Does: "accept"}},
		{"invalid", rule(state(1), &expr.Verdict{Kind: expr.VerdictDrop}), Rule{Match: Match{Never: true}, Does: "drop"}},
		{"new too", rule(state(2|4|8), accept), Rule{Does: "accept"}},
		{"established, by iptables", rule(&expr.Match{Name: "conntrack", Info: &xt.ConntrackMtinfo3{ConntrackMtinfo2: xt.ConntrackMtinfo2{
			ConntrackMtinfoBase: xt.ConntrackMtinfoBase{MatchFlags: uint16(xt.ConntrackState)}, StateMask: 6}}}, accept), Rule{Match: Match{Never: true}, Does: "accept"}},
		{"not established, by iptables", rule(&expr.Match{Name: "conntrack", Info: &xt.ConntrackMtinfo3{ConntrackMtinfo2: xt.ConntrackMtinfo2{
			ConntrackMtinfoBase: xt.ConntrackMtinfoBase{MatchFlags: uint16(xt.ConntrackState), InvertFlags: uint16(xt.ConntrackState)}, StateMask: 6}}}, accept), Rule{Does: "accept"}},
		{"IPv6", rule(meta(expr.MetaKeyNFPROTO, []byte{unix.NFPROTO_IPV6}), accept), Rule{Match: Match{Never: true}, Does: "accept"}},
		{"IPv4", rule(meta(expr.MetaKeyNFPROTO, []byte{unix.NFPROTO_IPV4}), accept), Rule{Does: "accept"}},
		{"a set", rule(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4}, &expr.Lookup{SourceRegister: 1, SetName: "s"}, accept),
			Rule{Match: Match{Unknown: true}, Does: "accept"}},
		{"a mark", rule(meta(expr.MetaKeyMARK, []byte{1, 0, 0, 0}), accept), Rule{Match: Match{Unknown: true}, Does: "accept"}},
		{"a strange mask", rule(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte{255, 0, 255, 0}, Xor: []byte{0, 0, 0, 0}}, eq(1, []byte{1, 0, 1, 0}), accept),
			Rule{Match: Match{Unknown: true}, Does: "accept"}},
		{"reject", rule(&expr.Reject{}), Rule{Does: "drop"}},
		{"a jump", rule(&expr.Verdict{Kind: expr.VerdictJump, Chain: "DOCKER"}), Rule{Does: "jump", Target: "DOCKER"}},
		{"a comment", rule(&expr.Match{Name: "comment", Info: &xt.Unknown{}}, accept), Rule{Does: "accept"}},
		{"an extension that is not known", rule(&expr.Match{Name: "recent", Info: &xt.Unknown{}}, accept), Rule{Match: Match{Unknown: true}, Does: "accept"}},
		{"data too short", rule(meta(expr.MetaKeyL4PROTO, nil), accept), Rule{Match: Match{Unknown: true}, Does: "accept"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, ruleFrom(tt.in), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// dockerLike makes a table as Docker has it with iptables-nft.
func dockerLike(t *testing.T, n *lab.Namespace) {
	t.Helper()
	hosttest.On(t, n, func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		drop := nftables.ChainPolicyDrop
		table := conn.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4})
		forward := conn.AddChain(&nftables.Chain{Name: "FORWARD", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop})
		user := conn.AddChain(&nftables.Chain{Name: "DOCKER-USER", Table: table})
		conn.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: rule(&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictJump, Chain: "DOCKER-USER"})})
		conn.AddRule(&nftables.Rule{Table: table, Chain: user, Exprs: rule(&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictReturn})})
		nat := conn.AddTable(&nftables.Table{Name: "nat", Family: nftables.TableFamilyIPv4})
		post := conn.AddChain(&nftables.Chain{Name: "POSTROUTING", Table: nat, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
		conn.AddRule(&nftables.Rule{Table: nat, Chain: post, Exprs: rule(source("172.16.1.0/24"), &expr.Masq{})})
		return conn.Flush()
	})
}

// TestFirewall reads a firewall from the kernel, and fixes it there.
func TestFirewall(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	read := func() (chains []Chain) {
		t.Helper()
		hosttest.On(t, n, func() (err error) { chains, err = Firewall(); return err })
		return chains
	}
	if chains := read(); len(chains) != 0 {
		t.Fatalf("chains of a new namespace: %+v", chains)
	}
	dockerLike(t, n)
	want := []Chain{
		{Family: "ip", Table: "filter", Name: "FORWARD", Hook: "forward", Drops: true, Rules: []Rule{{Does: "jump", Target: "DOCKER-USER"}}},
		{Family: "ip", Table: "filter", Name: "DOCKER-USER", Rules: []Rule{{Does: "return"}}},
		{Family: "ip", Table: "nat", Name: "POSTROUTING", Hook: "postrouting", Priority: 100, Rules: []Rule{
			{Match: Match{Source: PrefixMatch{Prefix: netip.MustParsePrefix("172.16.1.0/24")}}, Does: "masquerade"}}},
	}
	if diff := cmp.Diff(want, read(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("chains (-want +got):\n%s", diff)
	}
	hosttest.On(t, n, func() error { return MendFirewall("filter", "DOCKER-USER", "hn-web") })
	fixed := Rule{Match: Match{In: LinkMatch{Name: "hn-web"}, Out: LinkMatch{Name: "hn-web"}}, Does: "accept"}
	want[1].Rules = []Rule{fixed, {Does: "return"}}
	if diff := cmp.Diff(want, read(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("chains after the fix (-want +got):\n%s", diff)
	}
	hosttest.On(t, n, func() error {
		if err := MendFirewall("filter", "NOPE", "hn-web"); err == nil {
			t.Error("a rule went into a chain that does not exist")
		}
		return nil
	})
}
