package test

import (
	"context"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/rogpeppe/go-internal/testscript"
)

// firewallCommand gives the host a firewall of somebody else's: what Docker
// makes with iptables-nft, its part about forwarding alone, a table that lets nobody in, or none.
func firewallCommand(m *machine, _ *testscript.TestScript, args []string) error {
	build, known := map[string]func(*nftables.Conn){"docker": dockerFirewall, "forward": forwardFirewall, "closed": closedFirewall, "none": (*nftables.Conn).FlushRuleset}[args[0]]
	if !known {
		return fmt.Errorf("firewall %s?", args[0])
	}
	return m.Host.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		build(conn)
		return conn.Flush()
	})
}

// findsCommand checks that doctor has a finding of a check.
func findsCommand(m *machine, _ *testscript.TestScript, args []string) error {
	found, err := m.client().Doctor(context.Background(), false)
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.Check == args[0] {
			return nil
		}
	}
	return fmt.Errorf("no %s among %+v", args[0], found)
}

var dropPolicy = nftables.ChainPolicyDrop

func forwardFirewall(conn *nftables.Conn) {
	filter := conn.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4})
	forward := conn.AddChain(&nftables.Chain{Name: "FORWARD", Table: filter, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &dropPolicy})
	user := conn.AddChain(&nftables.Chain{Name: "DOCKER-USER", Table: filter})
	conn.AddRule(&nftables.Rule{Table: filter, Chain: forward, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: user.Name}}})
	conn.AddRule(&nftables.Rule{Table: filter, Chain: user, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}}})
}

func dockerFirewall(conn *nftables.Conn) {
	forwardFirewall(conn)
	nat := conn.AddTable(&nftables.Table{Name: "nat", Family: nftables.TableFamilyIPv4})
	post := conn.AddChain(&nftables.Chain{Name: "POSTROUTING", Table: nat, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
	conn.AddRule(&nftables.Rule{Table: nat, Chain: post, Exprs: []expr.Any{ // -s 172.16.0.0/12 -j MASQUERADE
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte{255, 240, 0, 0}, Xor: []byte{0, 0, 0, 0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{172, 16, 0, 0}}, &expr.Masq{},
	}})
	docker := conn.AddChain(&nftables.Chain{Name: "DOCKER", Table: nat, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest})
	conn.AddRule(&nftables.Rule{Table: nat, Chain: docker, Exprs: []expr.Any{ // -p tcp --dport 8080 -j DNAT --to 172.17.0.2
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{6}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0x1f, 0x90}},
		&expr.Immediate{Register: 1, Data: []byte{172, 17, 0, 2}},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(nftables.TableFamilyIPv4), RegAddrMin: 1},
	}})
}

func closedFirewall(conn *nftables.Conn) {
	table := conn.AddTable(&nftables.Table{Name: "closed", Family: nftables.TableFamilyINet})
	conn.AddChain(&nftables.Chain{Name: "in", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &dropPolicy})
}
