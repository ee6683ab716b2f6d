package capture

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// ours read what comes behind a word of our own, and behind pcap's that stand alone.
var ours = map[string]func(*parser) (expression, error){
	"proto":   readProtocol,
	"flags":   readFlags,
	"less":    readLength(func(has, n int) bool { return has <= n }),
	"greater": readLength(func(has, n int) bool { return has >= n }),
	"endpoint": named(func(p *parser) func(string) (string, error) { return p.names.Endpoint }, func(name string) expression {
		return ofPacket(func(p *model.CapturedPacket) bool {
			return p.Endpoint == name || p.Target == name || p.Session != nil && p.Session.Endpoint == name
		})
	}),
	"network": named(func(p *parser) func(string) (string, error) { return p.names.Network }, func(name string) expression { return ofNetwork(name) }),
	"program": named(nil, func(name string) expression {
		return ofPacket(func(p *model.CapturedPacket) bool { return p.Program == name })
	}),
	"session": readSession,
	"verdict": readVerdict,
	"reason":  readReason,
}

// named reads a name, which look, if there is one, has to know.
func named(look func(*parser) func(string) (string, error), of func(name string) expression) func(*parser) (expression, error) {
	return func(p *parser) (expression, error) {
		name := p.next()
		if name == "" || name == ")" {
			return nil, refused("a name has to come at its end")
		}
		if look != nil {
			var err error
			if name, err = look(p)(name); err != nil {
				return nil, err
			}
		}
		return of(name), nil
	}
}

func readProtocol(p *parser) (expression, error) {
	text := p.next()
	if known := protocols[text]; known != nil && known.protocol != 0 {
		return *known, nil
	}
	number, err := strconv.ParseUint(text, 10, 8)
	if err != nil || number == 0 {
		return nil, refused("proto %q is no protocol of IP: use tcp, udp, icmp or a number", model.Clip(text))
	}
	return ofProtocol{protocol: uint8(number), types: ips}, nil
}

// readFlags reads TCP flags that have to be set, and with a minus those that may not.
func readFlags(p *parser) (expression, error) {
	var set, clear uint8
	text := p.next()
	for name := range strings.SplitSeq(text, ",") {
		without, not := strings.CutPrefix(name, "-")
		i := slices.Index(tcpFlags, without)
		if i < 0 {
			return nil, refused("flags %q: %q is none of %s", model.Clip(text), model.Clip(without), strings.Join(tcpFlags, ", "))
		}
		if not {
			clear |= 1 << i
		} else {
			set |= 1 << i
		}
	}
	return ofSide(func(h *Headers) bool {
		return h.Protocol == 6 && h.HasPorts && h.TCPFlags&set == set && h.TCPFlags&clear == 0
	}), nil
}

func readLength(holds func(has, n int) bool) func(*parser) (expression, error) {
	return func(p *parser) (expression, error) {
		text := p.next()
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, refused("%q is no number of bytes", model.Clip(text))
		}
		return ofPacket(func(c *model.CapturedPacket) bool {
			return holds(c.CameLength, int(n)) || c.GoesOn() && holds(c.Length, int(n))
		}), nil
	}
}

func readSession(p *parser) (expression, error) {
	text := p.next()
	end, err := netip.ParseAddrPort(text)
	if err != nil {
		return nil, refused("session %q is not ADDRESS:PORT, as 'session list' shows its ends", model.Clip(text))
	}
	return ofPacket(func(c *model.CapturedPacket) bool {
		return c.Session != nil && (c.Session.Internal == end || c.Session.External == end || c.Session.Remote == end)
	}), nil
}

func readVerdict(p *parser) (expression, error) {
	known := []model.Verdict{model.VerdictSent, model.VerdictLeft, model.VerdictDropped}
	text := model.Verdict(p.next())
	if !slices.Contains(known, text) {
		return nil, refused("verdict %q is none of %s, %s, %s", model.Clip(string(text)), known[0], known[1], known[2])
	}
	return ofVerdict(text), nil
}

func readReason(p *parser) (expression, error) {
	text := p.next()
	if _, is := event.ParseReason(text); !is {
		return nil, refused("reason %q is none that a packet is dropped for: 'hostnat status' and 'hostnat event watch --only drop' show some", model.Clip(text))
	}
	return ofReason(text), nil
}
