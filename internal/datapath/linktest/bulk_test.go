package linktest

import (
	"crypto/sha256"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/model"
)

const bulkSize = 4 << 20 // bytes each way

// bulk sends random bytes both ways on one connection at once, and compares
// hashes.
func bulk(t *testing.T, client, server *lab.Namespace, at, to string) {
	t.Helper()
	listener, err := server.Listen("tcp", at)
	wire.Must(t, err)
	defer listener.Close()
	dialed, err := client.Dial(wire.WithTimeout(t), "tcp", to)
	wire.Must(t, err)
	defer dialed.Close()
	accepted, err := listener.Accept()
	wire.Must(t, err)
	defer accepted.Close()
	type result struct {
		sent, got [32]byte
		err       error
	}
	results := make(chan result, 2)
	for i, conn := range []net.Conn{dialed, accepted} {
		wire.Must(t, conn.SetDeadline(time.Now().Add(2*wire.Patience)))
		go func() {
			var r result
			received := make(chan error, 1)
			got := sha256.New()
			go func() { received <- drain(conn, got) }()
			sent := sha256.New()
			_, r.err = io.CopyN(io.MultiWriter(conn, sent), rand.NewChaCha8([32]byte{byte(i)}), bulkSize)
			if err := <-received; r.err == nil {
				r.err = err
			}
			r.sent, r.got = [32]byte(sent.Sum(nil)), [32]byte(got.Sum(nil))
			results <- r
		}()
	}
	a, b := <-results, <-results
	if a.err != nil || b.err != nil {
		t.Fatalf("transfer: %v, %v", a.err, b.err)
	}
	if a.sent != b.got || b.sent != a.got {
		t.Error("what arrived is not what was sent")
	}
}

func drain(conn net.Conn, to hash.Hash) error {
	_, err := io.CopyN(to, conn, bulkSize)
	return err
}

func TestBulkTCPKeepsItsData(t *testing.T) {
	t.Parallel()
	bothOffloads(t, func(t *testing.T, r *dptest.Rig, offloads bool) {
		r.Config.Mappings[1] = dptest.Mapping(model.TCP, "203.0.113.1:8080", wire.Inside(0, 80))
		r.Apply(t)
		bulk(t, r.Endpoints[0], r.Remote, lab.RemoteAddress+":7000", lab.RemoteAddress+":7000")
		bulk(t, r.Remote, r.Endpoints[0], "172.16.1.2:80", wire.Published.String())
		for _, w := range []*wire.Capture{r.AtRemote, r.AtEndpoint[0]} {
			largest := 0
			for _, p := range w.Came(func(p wire.Packet) bool { return p.Protocol == model.TCP }) {
				largest = max(largest, p.Size)
			}
			if offloads && largest < 30000 {
				t.Errorf("the largest packet had %d bytes: no segmentation offload was tried", largest)
			}
			if !offloads && largest > 1514 {
				t.Errorf("a packet of %d bytes with offloads off", largest)
			}
		}
		for _, s := range r.Sessions(t) {
			// A packet for the stack counts as the segments it becomes.
			for _, n := range [][2]uint64{{s.PacketsOut, s.BytesOut}, {s.PacketsIn, s.BytesIn}} {
				if n[0] < bulkSize/1448 || n[1] < bulkSize || n[1] > bulkSize*11/10 {
					t.Errorf("%d packets with %d bytes counted for %d bytes of data", n[0], n[1], bulkSize)
				}
			}
		}
	})
}

// A UDP socket hands over many datagrams as one (UDP_SEGMENT).
func TestUDPSegmentationOffload(t *testing.T) {
	t.Parallel()
	bothOffloads(t, func(t *testing.T, r *dptest.Rig, _ bool) {
		const datagrams, size = 20, 1000
		client := wire.Listen(t, r.Endpoints[0], wire.Text(wire.EndpointAddress(0), "4000"))
		server := wire.Listen(t, r.Remote, lab.RemoteAddress+":7000")
		to := netip.AddrPortFrom(wire.RemoteAddress, 7000)
		client.Send(t, to, "first")
		from := server.Expect(t, "first")
		wire.Option(t, client, unix.SOL_UDP, unix.UDP_SEGMENT, size)
		wire.Option(t, server, unix.SOL_UDP, unix.UDP_SEGMENT, size)
		data := make([]byte, datagrams*size)
		for i := range data {
			data[i] = 'a' + byte(i/size)
		}
		client.Send(t, to, string(data))
		server.Send(t, from, string(data))
		for i := range datagrams {
			want := string(data[i*size : (i+1)*size])
			server.Expect(t, want)
			client.Expect(t, want)
		}
		r.Counted(t, model.UDP, wire.Inside(0, 4000), to, datagrams+1, datagrams)
	})
}
