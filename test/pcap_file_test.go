package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/rogpeppe/go-internal/testscript"
)

// pcapCommand writes a file of packets between addresses of the scripts; with a number of
// bytes, its beginning alone.
func pcapCommand(_ *machine, ts *testscript.TestScript, args []string) error {
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		return err
	}
	for _, b := range filePackets() {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(b), Length: len(b)}, b); err != nil {
			return err
		}
	}
	content := file.Bytes()
	if len(args) > 1 {
		var most int
		if _, err := fmt.Sscan(args[1], &most); err != nil {
			return err
		}
		content = content[:most]
	}
	return os.WriteFile(ts.MkAbs(args[0]), content, 0o644)
}

// filePackets are what c1 sends to the remote and to c3, an ARP request, a SYN-ACK and a
// SYN from outside, and a ping.
func filePackets() [][]byte {
	tcp := func(from string, fromPort uint16, to string, port uint16, answers bool) []byte {
		return framed(from, to, layers.IPProtocolTCP, &layers.TCP{SrcPort: layers.TCPPort(fromPort), DstPort: layers.TCPPort(port), SYN: true, ACK: answers, Window: 1000})
	}
	ping := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 77}
	arp := gopacket.NewSerializeBuffer()
	_ = gopacket.SerializeLayers(arp, gopacket.SerializeOptions{}, fileEthernet(layers.EthernetTypeARP),
		&layers.ARP{AddrType: 1, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1, SourceHwAddress: make([]byte, 6), SourceProtAddress: []byte{172, 16, 1, 2}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{172, 16, 1, 1}})
	return [][]byte{
		tcp("172.16.1.2", 40000, "203.0.113.2", 7, false), tcp("172.16.1.2", 40001, "172.16.2.2", 80, false), arp.Bytes(),
		tcp("203.0.113.2", 7, "203.0.113.1", 9999, true), tcp("203.0.113.2", 5555, "203.0.113.1", 8080, false),
		framed("172.16.1.2", "203.0.113.2", layers.IPProtocolICMPv4, ping),
	}
}

func fileEthernet(kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: kind}
}

func framed(from, to string, protocol layers.IPProtocol, payload gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: protocol, SrcIP: net.ParseIP(from).To4(), DstIP: net.ParseIP(to).To4()}
	_ = gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, fileEthernet(layers.EthernetTypeIPv4), ip, payload)
	return b.Bytes()
}
