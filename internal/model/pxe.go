package model

import "net/netip"

// PXE is what a network's DHCP server tells a machine that boots from the network. Its
// zero value is nothing.
type PXE struct {
	NextServer netip.Addr // where the boot file is (siaddr of RFC 2131); not valid: the gateway
	ServerName string     // the TFTP server's name (option 66 of RFC 2132); empty: NextServer's address
	BootFile   string     // option 67: a path, or a URL for who takes one
}
