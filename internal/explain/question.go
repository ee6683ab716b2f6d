package explain

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// Question is a packet in a caller's words.
type Question struct {
	Protocol string // tcp, udp or icmp
	From, To string // NAME[:PORT] or ADDRESS[:PORT]
	TCPFlags uint8  // as in the header; 0: a SYN's
	Probe    bool   // have the path to the remote probed
	At       string // where it comes in: an endpoint, a network or a link of the host; empty: where From belongs
}

// World is what a question's names stand for.
type World struct {
	Config config.Config // unfolded, as the kernel has it
	Host   model.HostFacts
}

// anyPort is the sender's, if the question does not say which.
const anyPort = 40000

// Trial reads the question. Refusals are *model.Error.
func (q Question) Trial(w World) (t model.Trial, err error) {
	if t.Protocol, err = model.ParseProtocol(q.Protocol); err != nil {
		return t, err
	}
	t.TCPFlags = q.TCPFlags
	from, err := w.end("FROM", q.From, t.Protocol)
	if err != nil {
		return t, err
	}
	to, err := w.end("TO", q.To, t.Protocol)
	if err != nil {
		return t, err
	}
	if to.port == 0 && t.Protocol != model.ICMP {
		return t, model.Errorf(model.Invalid, "TO %q has no port", model.Clip(q.To)).WithHint("write it like %s:443", to.address)
	}
	if from.port == 0 {
		from.port = anyPort
	}
	t.From, t.To = netip.AddrPortFrom(from.address, from.port), netip.AddrPortFrom(to.address, to.port)
	if q.At != "" {
		t.Entry, t.Link, err = w.place(q.At)
		return t, err
	}
	t.Entry, t.Link, err = w.placeOf(from, to)
	return t, err
}

// end is one end of a packet.
type end struct {
	address  netip.Addr
	port     uint16          // 0: not given
	endpoint *model.Endpoint // if it was given by name
}

func (w World) end(what, text string, p model.Protocol) (e end, err error) {
	host, port, hasPort := strings.Cut(text, ":")
	if strings.Contains(port, ":") {
		_, err := model.ParseIPv4(what, strings.Trim(text, "[]"))
		return e, err
	}
	switch {
	case hasPort && p == model.ICMP && what == "TO":
		return e, model.Errorf(model.Invalid, "ICMP has no ports: TO is %q", model.Clip(text)).WithHint("write %s", model.Clip(host))
	case hasPort:
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return e, model.Errorf(model.Invalid, "%s port %q is not a port", what, model.Clip(port)).WithHint("use a number from 1 to 65535")
		}
		e.port = uint16(n)
	}
	if host == "" || model.LooksLikeAddress(host) {
		e.address, err = model.ParseIPv4(what, host)
		return e, err
	}
	found, err := w.Config.Called(host)
	if err != nil {
		return e, err
	}
	e.endpoint, e.address = &found, found.Address4()
	return e, nil
}

// placeOf says where what is from there comes in.
func (w World) placeOf(from, to end) (model.Entry, string, error) {
	if from.endpoint != nil {
		return w.linkOf(*from.endpoint)
	}
	if e, err := w.attachedAt(from.address); err != nil || e != nil {
		if err != nil {
			return "", "", err
		}
		return w.linkOf(*e)
	}
	for _, n := range w.Config.Networks {
		if n.Gateway4() == from.address {
			return "", "", ofHost(from.address)
		}
		if n.Bridge != "" && !n.Unrouted() && n.Subnet4().Contains(from.address) {
			return model.EntryNetwork, n.Bridge, nil
		}
	}
	if slices.ContainsFunc(w.Host.Held(), func(h model.HostAddress) bool { return h.Address == from.address }) {
		return "", "", ofHost(from.address)
	}
	return w.outside(from.address, to.address)
}

func ofHost(a netip.Addr) error {
	return model.Errorf(model.Invalid, "FROM %s is the host's own address: what the host sends is not translated", a).
		WithHint("name an endpoint or a remote; --at LINK has the packet come in there all the same")
}

// attachedAt returns the one attached endpoint that has an address.
func (w World) attachedAt(a netip.Addr) (*model.Endpoint, error) {
	var found []model.Endpoint
	for _, e := range w.Config.Endpoints {
		if e.Address4() == a {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return &found[0], nil
	}
	return nil, model.Errorf(model.Conflict, "endpoints %s and %s both have %s", found[0].Name, found[1].Name, a).WithHint("name the one that you mean")
}

func (w World) linkOf(e model.Endpoint) (model.Entry, string, error) {
	if e.Managed() {
		return model.EntryEndpoint, e.Interface, nil
	}
	n, err := w.Config.Network(e.Network)
	return model.EntryNetwork, n.Bridge, err
}

// outside returns the link by which a remote's packets come: on whose wire it is,
// else which has the address that they are for, else that of the default route.
func (w World) outside(from, to netip.Addr) (model.Entry, string, error) {
	candidates := append(w.Host.LinksReaching(from), w.Host.InterfaceOf(to), w.Host.DefaultInterface)
	for _, link := range candidates {
		if link != "" && w.Host.HasInterface(link) {
			return model.EntryOutside, link, nil
		}
	}
	return "", "", model.Errorf(model.Invalid, "the host reaches %s by no link, so it is not known where its packets come in", from).WithHint("say where: --at LINK")
}

// place reads where a packet comes in.
func (w World) place(at string) (model.Entry, string, error) {
	if e, err := w.Config.Called(at); err == nil {
		return w.linkOf(e)
	}
	if n, err := w.Config.Network(at); err == nil && n.Bridge != "" {
		return model.EntryNetwork, n.Bridge, nil
	}
	if w.Host.HasInterface(at) {
		return model.EntryOutside, at, nil
	}
	return "", "", model.Errorf(model.NotFound, "%q is no endpoint, no network and no link of the host", model.Clip(at)).
		WithHint("'hostnat endpoint list' and 'ip link' show those that there are")
}
