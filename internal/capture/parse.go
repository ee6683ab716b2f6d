package capture

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gopacket/gopacket/layers"

	"github.com/hostnat/hostnat/internal/model"
)

// The words of a filter are those of pcap-filter(7) as far as they go, and ours: "and"
// and "or" are of the same rank and read from left to right, "not" goes before both,
// and in "host a or b" the second address is a host's too.

const (
	longestFilter = 4096 // bytes
	deepestFilter = 64   // parentheses and negations in each other
)

// Words are what a filter is made of, for messages and completion.
var Words = []string{
	"host", "net", "port", "portrange", "src", "dst", "tcp", "udp", "icmp", "arp", "ip", "ip6", "proto", "flags", "less", "greater",
	"endpoint", "network", "session", "program", "verdict", "reason", "and", "or", "not",
}

// Names say what is meant by the name of an endpoint or a network in a filter, or that
// there is none of it.
type Names struct {
	Endpoint, Network func(name string) (string, error)
}

// Parse reads a filter, for who does not know the names. An empty one selects all.
func Parse(text string) (Filter, error) {
	asItIs := func(name string) (string, error) { return name, nil }
	return ParseOf(text, Names{asItIs, asItIs})
}

// ParseOf is Parse with the names that there are.
func ParseOf(text string, names Names) (Filter, error) {
	if len(text) > longestFilter {
		return Filter{}, refused("it has %d characters, at most %d are read", len(text), longestFilter)
	}
	p := parser{words: wordsOf(text), names: names}
	if len(p.words) == 0 {
		return Filter{}, nil
	}
	root, err := p.expression()
	if err != nil {
		return Filter{}, err
	}
	if word := p.peek(); word != "" {
		return Filter{}, refused("%q is one too many", model.Clip(word))
	}
	return Filter{root: root}, nil
}

func refused(format string, args ...any) error {
	return model.Errorf(model.Invalid, "filter: "+format, args...).WithHint("for example: tcp port 443 and endpoint c1; the words are %s", strings.Join(Words, ", "))
}

// wordsOf splits a filter. Parentheses and "!" are words of their own.
func wordsOf(text string) []string {
	for _, sign := range []string{"(", ")", "!"} {
		text = strings.ReplaceAll(text, sign, " "+sign+" ")
	}
	for sign, word := range map[string]string{"&&": " and ", "||": " or "} {
		text = strings.ReplaceAll(text, sign, word)
	}
	return strings.Fields(text)
}

type parser struct {
	words []string
	names Names
	depth int
	value func(p *parser) (expression, error) // reads one more value of the kind before: host a or b
}

func (p *parser) peek() string {
	if len(p.words) == 0 {
		return ""
	}
	return p.words[0]
}

func (p *parser) next() string {
	word := p.peek()
	if word != "" {
		p.words = p.words[1:]
	}
	return word
}

func (p *parser) take(word string) bool {
	if p.peek() != word {
		return false
	}
	p.next()
	return true
}

func (p *parser) expression() (expression, error) {
	left, err := p.term()
	for err == nil {
		switch {
		case p.take("and"):
			var right expression
			right, err = p.term()
			left = both{left, right}
		case p.take("or"):
			var right expression
			right, err = p.term()
			left = either{left, right}
		default:
			return left, nil
		}
	}
	return nil, err
}

func (p *parser) term() (expression, error) {
	if p.depth++; p.depth > deepestFilter {
		return nil, refused("more than %d parentheses and negations in each other", deepestFilter)
	}
	defer func() { p.depth-- }()
	switch {
	case p.take("not") || p.take("!"):
		e, err := p.term()
		return not{e}, err
	case p.take("("):
		e, err := p.expression()
		if err == nil && !p.take(")") {
			err = refused("a parenthesis is not closed")
		}
		return e, err
	}
	return p.primitive()
}

// primitive is a condition that has no others in it.
func (p *parser) primitive() (expression, error) {
	word := p.peek()
	if word == "" {
		return nil, refused("it ends where a condition has to come")
	}
	if read, is := ours[word]; is {
		p.next()
		p.value = read
		return read(p)
	}
	if isEnd(word) || protocols[word] != nil {
		return p.ofHeaders()
	}
	if p.value != nil && !slices.Contains(Words, word) && word != ")" {
		return p.value(p)
	}
	return nil, refused("%q is no condition", model.Clip(word))
}

func isEnd(word string) bool {
	return slices.Contains([]string{"src", "dst", "host", "net", "port", "portrange"}, word)
}

var (
	ip4 = []uint16{uint16(layers.EthernetTypeIPv4)}
	ip6 = []uint16{uint16(layers.EthernetTypeIPv6)}
	arp = []uint16{uint16(layers.EthernetTypeARP)}
	ips = slices.Concat(ip4, ip6)
)

// protocols are those that have a name here. Protocol 0 is the network layer's own.
var protocols = map[string]*ofProtocol{
	"tcp":  {protocol: 6, types: ips},
	"udp":  {protocol: 17, types: ips},
	"icmp": {protocol: 1, types: ip4},
	"ip":   {types: ip4},
	"ip6":  {types: ip6},
	"arp":  {types: arp},
}

// ofHeaders reads [PROTOCOL] [DIRECTION] [KIND] VALUE, or a protocol alone.
func (p *parser) ofHeaders() (expression, error) {
	protocol := protocols[p.peek()]
	if protocol != nil {
		p.next()
	}
	towards, said := p.direction()
	kind := p.peek()
	switch kind {
	case "host", "net", "port", "portrange":
		p.next()
	default:
		if protocol != nil && !said {
			if protocol.protocol == 0 {
				types := protocol.types
				return ofSide(func(h *Headers) bool { return slices.Contains(types, h.EtherType) }), nil
			}
			return *protocol, nil
		}
		kind = "host"
	}
	read, err := valueReader(kind, towards, protocol)
	if err != nil {
		return nil, err
	}
	p.value = read
	return read(p)
}

// direction reads src, dst, "src or dst" or "src and dst".
func (p *parser) direction() (d direction, said bool) {
	ends := map[string]direction{"src": sourceEnd, "dst": destinationEnd}
	d, said = ends[p.peek()]
	if !said {
		return anyEnd, false
	}
	p.next()
	if len(p.words) < 2 {
		return d, true
	}
	other, is := ends[p.words[1]]
	if joint := p.words[0]; is && other != d && (joint == "or" || joint == "and") {
		p.words = p.words[2:]
		if joint == "or" {
			return anyEnd, true
		}
		return bothEnds, true
	}
	return d, true
}

// valueReader returns what reads a value of a kind and makes a condition of it.
func valueReader(kind string, towards direction, protocol *ofProtocol) (func(*parser) (expression, error), error) {
	if kind == "host" || kind == "net" {
		types := slices.Concat(ips, arp)
		if protocol != nil {
			types = protocol.types
		}
		return func(p *parser) (expression, error) {
			prefix, err := readPrefix(kind, p.next())
			if err != nil {
				return nil, err
			}
			e := expression(inPrefix{towards, prefix, types})
			if protocol != nil && protocol.protocol != 0 {
				e = both{*protocol, e}
			}
			return e, nil
		}, nil
	}
	number := uint8(0)
	if protocol != nil {
		if number = protocol.protocol; number != 6 && number != 17 {
			return nil, refused("only tcp and udp have ports")
		}
	}
	return func(p *parser) (expression, error) {
		first, last, err := readPorts(kind, p.next())
		return onPorts{towards, number, first, last}, err
	}, nil
}

func readPrefix(kind, text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	if kind == "net" {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			if prefix != prefix.Masked() {
				return prefix, refused("net %s has bits behind its prefix", prefix)
			}
			return prefix, nil
		}
	}
	return netip.Prefix{}, refused("%s %q is no %s", kind, model.Clip(text), map[string]string{"host": "address", "net": "prefix"}[kind])
}

func readPorts(kind, text string) (first, last uint16, err error) {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	if isRange == (kind == "portrange") {
		a, err1 := strconv.ParseUint(from, 10, 16)
		b, err2 := strconv.ParseUint(to, 10, 16)
		if err1 == nil && err2 == nil && a <= b {
			return uint16(a), uint16(b), nil
		}
	}
	return 0, 0, refused("%s %q is no %s", kind, model.Clip(text), map[string]string{"port": "port", "portrange": "range of ports, like 8000-8010"}[kind])
}
