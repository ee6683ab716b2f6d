package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Input reads packets of a pcap or pcapng file, one after the other.
type Input struct {
	read    func() ([]byte, gopacket.CaptureInfo, error)
	link    func(gopacket.CaptureInfo) layers.LinkType
	headers *Reader
	count   int
}

// longest is more than a packet in a file can have, in bytes: more is damage.
const longest = 1 << 20

// ErrNoCapture says that a file has no packets in a form that is known.
var ErrNoCapture = errors.New("it is neither pcap nor pcapng; 'hostnat capture -w FILE', tcpdump and Wireshark write these")

// NewInput begins to read.
func NewInput(r io.Reader) (*Input, error) {
	in, buffered := &Input{headers: NewReader()}, bufio.NewReader(r)
	magic, err := buffered.Peek(4)
	if err != nil {
		return nil, ErrNoCapture
	}
	const section = 0x0a0d0d0a // pcapng's first block, the same in both byte orders
	if binary.BigEndian.Uint32(magic) == section {
		ng, err := pcapgo.NewNgReader(buffered, pcapgo.NgReaderOptions{WantMixedLinkType: true})
		if err != nil {
			return nil, ErrNoCapture
		}
		in.read, in.link = ng.ReadPacketData, func(i gopacket.CaptureInfo) layers.LinkType { return ngLink(ng, i) }
		return in, nil
	}
	old, err := pcapgo.NewReader(buffered)
	if err != nil {
		return nil, ErrNoCapture
	}
	old.SetSnaplen(min(max(old.Snaplen(), 1), longest))
	in.read, in.link = old.ReadPacketData, func(gopacket.CaptureInfo) layers.LinkType { return old.LinkType() }
	return in, nil
}

func ngLink(ng *pcapgo.NgReader, i gopacket.CaptureInfo) layers.LinkType {
	at, err := ng.Interface(i.InterfaceIndex)
	if err != nil {
		return layers.LinkTypeNull
	}
	return at.LinkType
}

// Next returns the headers of the next packet; io.EOF after the last. A link whose
// frames are not known leaves them empty.
func (in *Input) Next() (h Headers, err error) {
	data, info, err := in.read()
	switch {
	case errors.Is(err, io.EOF):
		return h, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return h, fmt.Errorf("it is cut off after packet %d", in.count)
	case err != nil:
		return h, fmt.Errorf("it is damaged after packet %d: %w", in.count, err)
	}
	in.count++
	const linkRaw, linkIPv4 = 12, 228
	switch in.link(info) {
	case layers.LinkTypeEthernet:
		return in.headers.Read(data, true), nil
	case layers.LinkTypeRaw, linkRaw, linkIPv4:
		return in.headers.Read(data, false), nil
	case layers.LinkTypeLinuxSLL:
		const header = 16 // the last two octets: the EtherType
		if len(data) > header && binary.BigEndian.Uint16(data[header-2:]) == uint16(layers.EthernetTypeIPv4) {
			return in.headers.Read(data[header:], false), nil
		}
	}
	return Headers{}, nil
}
