package wire

import (
	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// Skbuff is struct __sk_buff: what a test run takes and gives of the context.
type Skbuff struct {
	Len, PacketType, Mark, QueueMapping, Protocol uint32
	VLANPresent, VLANTCI, VLANProto, Priority     uint32
	IngressIfindex, Ifindex, TCIndex              uint32
	CB                                            [5]uint32
	Hash, TCClassID, Data, DataEnd, NAPI, Family  uint32
	RemoteIP4, LocalIP4                           uint32
	RemoteIP6, LocalIP6                           [4]uint32
	RemotePort, LocalPort, DataMeta               uint32
	FlowKeys, Timestamp                           uint64
	WireLen, GSOSegments                          uint32
	Socket                                        uint64
	GSOSize, TimestampType                        uint32
	HardwareTimestamp                             uint64
}

// Verdicts of TCX, and marks of ours.
const (
	TCXNext         = ^uint32(0)
	TCXDrop         = 2
	TCXRedirect     = 7
	TranslatedMark  = uint32(kernel.MarkTranslated)
	ReassembledMark = uint32(kernel.MarkReassembled)
	SocketMark      = uint32(kernel.MarkTransparent)
	ToPortMark      = uint32(kernel.MarkToPort)
)
