package test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hostnat/hostnat/dev/lab"
)

// dhcpTimeout is how long a client waits for an answer before it asks again.
const dhcpTimeout = time.Second

// dhcpCommand gives a link of a namespace the address, the MTU and the default
// route that a DHCP server tells, and prints what it told: dhcp NS LINK
// [HOSTNAME [TEXT]]. What is printed must have TEXT in it: with retry, for what
// the server does a moment after a change.
func dhcpCommand(m *machine, ts *testscript.TestScript, args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("dhcp NS LINK [HOSTNAME]")
	}
	n, link := m.ns(args[0]), args[1]
	var with []dhcpv4.Modifier
	if len(args) > 2 {
		with = append(with, dhcpv4.WithOption(dhcpv4.OptHostName(args[2])))
	}
	lease, err := m.lease(n, link, with...)
	if err != nil {
		return err
	}
	ack := lease.ACK
	told := fmt.Sprintf("%s hostname=%s router=%s dns=%s domain=%s mtu=%d lease=%s", ack.YourIPAddr, ack.HostName(), list(ack.Router()), list(ack.DNS()), ack.DomainName(),
		mtuOf(ack), ack.IPAddressLeaseTime(0))
	if len(args) > 3 && !strings.Contains(told, args[3]) {
		return fmt.Errorf("told %q, without %q", told, args[3])
	}
	fmt.Fprintln(ts.Stdout(), told)
	ones, _ := ack.SubnetMask().Size()
	addrs, err := n.Command(context.Background(), "ip", "-4", "-o", "address", "show", "dev", link).Output()
	if err != nil {
		return err
	}
	if len(addrs) > 0 {
		return nil // asked again: it has all that
	}
	if err := n.SetMTU(link, mtuOf(ack)); err != nil {
		return err
	}
	if err := n.AddAddress(link, fmt.Sprintf("%s/%d", ack.YourIPAddr, ones)); err != nil {
		return err
	}
	return n.AddRoute("0.0.0.0/0", ack.Router()[0].String())
}

func (m *machine) lease(n *lab.Namespace, link string, with ...dhcpv4.Modifier) (lease *nclient4.Lease, err error) {
	var c *nclient4.Client
	err = n.Do(func() (err error) {
		c, err = nclient4.New(link, nclient4.WithTimeout(dhcpTimeout), nclient4.WithRetry(8))
		return err
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c.Request(ctx, append(with, dhcpv4.WithRequestedOptions(dhcpv4.OptionInterfaceMTU, dhcpv4.OptionHostName))...)
}

// noDHCPCommand asks and must get no answer: no-dhcp NS LINK.
func noDHCPCommand(m *machine, _ *testscript.TestScript, args []string) error {
	var c *nclient4.Client
	err := m.ns(args[0]).Do(func() (err error) {
		c, err = nclient4.New(args[1], nclient4.WithTimeout(300*time.Millisecond), nclient4.WithRetry(2))
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if offer, err := c.DiscoverOffer(context.Background()); err == nil {
		return fmt.Errorf("%s offers %s", offer.ServerIdentifier(), offer.YourIPAddr)
	}
	return nil
}

func mtuOf(m *dhcpv4.DHCPv4) int {
	b := m.Options.Get(dhcpv4.OptionInterfaceMTU)
	if len(b) != 2 {
		return 0
	}
	return int(b[0])<<8 | int(b[1])
}

func list(ips []net.IP) string {
	if len(ips) == 0 {
		return "none"
	}
	return ips[0].String()
}
