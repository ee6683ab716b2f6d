package text

import (
	"encoding/xml"
	"fmt"
	"io"

	"github.com/hostnat/hostnat/api"
)

// libvirtNetwork is a network of libvirt's that is a bridge of somebody else's:
// https://libvirt.org/formatnetwork.html, "Using an existing host bridge".
type libvirtNetwork struct {
	XMLName xml.Name      `xml:"network"`
	Name    string        `xml:"name"`
	Forward libvirtMode   `xml:"forward"`
	Bridge  libvirtBridge `xml:"bridge"`
}

type libvirtMode struct {
	Mode string `xml:"mode,attr"`
}

type libvirtBridge struct {
	Name string `xml:"name,attr"`
}

// Libvirt prints the XML by which libvirt's VMs use a network.
func Libvirt(w io.Writer, n api.Network) error {
	if n.Bridge == "" {
		return &api.Error{
			Code: api.Invalid, Message: fmt.Sprintf("network %q has no bridge, so libvirt cannot plug VMs in", n.Name),
			Hint: "attach each VM's TAP: hostnat endpoint attach " + n.Name + " NAME --tap TAP",
		}
	}
	out := libvirtNetwork{Name: n.Name, Forward: libvirtMode{"bridge"}, Bridge: libvirtBridge{n.Bridge}}
	text, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the network as XML: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}
