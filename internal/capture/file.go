package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/hostnat/hostnat/internal/model"
)

// File writes packets as pcapng. A packet is two blocks with one epb_packetid: as it
// came, and as it went on with the program's verdict. One that was dropped without a
// word is one block. Interfaces are a link and a program; what a packet became is at an
// interface of its own, since it has left by another link, or none.
type File struct {
	out        io.Writer
	blocks     *pcapgo.NgWriter
	interfaces map[interfaceKey]int
	lost       uint64 // packets that the next block tells of
}

type interfaceKey struct {
	link, program string
	went          bool
	ethernet      bool
}

// Name is an address that the file gives a name to.
type Name struct {
	Address netip.Addr
	Name    string
}

// NewFile begins a file, whose filter is filter.
func NewFile(w io.Writer, version, filter string, names []Name) (*File, error) {
	f := &File{out: w, interfaces: make(map[interfaceKey]int)}
	section := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
		Hardware: runtime.GOARCH, OS: runtime.GOOS, Application: "hostnat " + version, Comment: filterComment(filter),
	}}
	// The library begins each file with an interface. Nothing is at this one.
	none := pcapgo.NgInterface{Name: "hostnat", LinkType: layers.LinkTypeEthernet, Description: "nothing: what was captured is at the others"}
	var err error
	if f.blocks, err = pcapgo.NewNgWriterInterface(w, none, section); err == nil {
		err = f.names(names)
	}
	if err != nil {
		return nil, fmt.Errorf("beginning a file of packets: %w", err)
	}
	return f, nil
}

func filterComment(filter string) string {
	if filter == "" {
		return ""
	}
	return "filter: " + filter
}

// names writes a name resolution block (draft-ietf-opsawg-pcapng section 4.5), which the
// library does not.
func (f *File) names(names []Name) error {
	const block, address4, end = 4, 1, 0
	var body []byte
	for _, n := range names {
		if !n.Address.Is4() || n.Name == "" {
			continue
		}
		value := append(append(n.Address.AsSlice(), n.Name...), 0)
		body = binary.LittleEndian.AppendUint16(body, address4)
		body = binary.LittleEndian.AppendUint16(body, uint16(len(value)))
		body = append(body, value...)
		body = append(body, make([]byte, -len(value)&3)...)
	}
	if len(body) == 0 {
		return nil
	}
	if err := f.blocks.Flush(); err != nil {
		return err
	}
	body = binary.LittleEndian.AppendUint32(body, end)
	length := uint32(len(body) + 12)
	whole := binary.LittleEndian.AppendUint32(nil, block)
	whole = binary.LittleEndian.AppendUint32(whole, length)
	whole = binary.LittleEndian.AppendUint32(append(whole, body...), length)
	_, err := f.out.Write(whole)
	return err
}

// Lost has the next block say that so many packets were lost before it.
func (f *File) Lost(packets uint64) { f.lost += packets }

// Flush writes what is still in memory.
func (f *File) Flush() error { return f.blocks.Flush() }

// Write writes a packet.
func (f *File) Write(p *model.CapturedPacket) error {
	comment := Comment(p)
	came := pcapgo.NgPacketOptions{Comments: []string{comment}, PacketID: &p.ID, Flags: &pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionInbound}}
	if f.lost > 0 {
		lost := f.lost
		came.DropCount, f.lost = &lost, 0
	}
	went := p.GoesOn()
	verdict := []pcapgo.NgEpbVerdict{{Type: pcapgo.NgEpbVerdictTypeLinuxeBPFTC, Data: binary.LittleEndian.AppendUint64(nil, uint64(uint32(p.Code)))}}
	if !went {
		came.Verdicts = verdict
	}
	if err := f.write(p, false, Came(p), p.CameLength, came); err != nil || !went {
		return err
	}
	return f.write(p, true, p.Went, p.Length, pcapgo.NgPacketOptions{
		Comments: []string{comment}, PacketID: &p.ID, Verdicts: verdict, Flags: &pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionOutbound},
	})
}

// Came is a packet as it came: its first bytes as they were kept, and behind these what
// it went on with, as the data path changes nothing there. What was made longer or
// shorter has its first bytes alone.
func Came(p *model.CapturedPacket) []byte {
	if p.CameLength != p.Length || p.Verdict == model.VerdictDropped && p.Told || len(p.Went) <= len(p.Came) {
		return p.Came
	}
	return slices.Concat(p.Came, p.Went[len(p.Came):])
}

func (f *File) write(p *model.CapturedPacket, went bool, bytes []byte, length int, options pcapgo.NgPacketOptions) error {
	at, err := f.at(interfaceKey{link: p.Link, program: p.Program, went: went, ethernet: p.Ethernet || went && p.WentEthernet()}, p)
	if err != nil {
		return err
	}
	info := gopacket.CaptureInfo{Timestamp: p.Time, CaptureLength: len(bytes), Length: max(length, len(bytes)), InterfaceIndex: at}
	return f.blocks.WritePacketWithOptions(info, bytes, options)
}

func (f *File) at(key interfaceKey, p *model.CapturedPacket) (int, error) {
	if at, has := f.interfaces[key]; has {
		return at, nil
	}
	i := pcapgo.NgInterface{Name: key.link + " " + key.program, LinkType: layers.LinkTypeEthernet, OS: runtime.GOOS}
	if !key.ethernet {
		i.LinkType = layers.LinkTypeIPv4
	}
	switch {
	case key.went:
		i.Name += " out"
		i.Description = "what " + key.program + " made of what came by " + key.link
	case p.Endpoint != "":
		i.Description = "from endpoint " + p.Endpoint
	case p.Network != "":
		i.Description = "from network " + p.Network
	default:
		i.Description = "from outside"
	}
	at, err := f.blocks.AddInterface(i)
	if err != nil {
		return 0, err
	}
	f.interfaces[key] = at
	return at, nil
}
