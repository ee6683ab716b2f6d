package datapath

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
	"github.com/hostnat/hostnat/internal/model"
)

const bulkSize = 4 << 20 // bytes each way

// bulk sends random bytes both ways on one connection at once, and compares
// hashes.
func bulk(t *testing.T, client, server *lab.Namespace, at, to string) {
	t.Helper()
	listener, err := server.Listen("tcp", at)
	must(t, err)
	defer listener.Close()
	dialed, err := client.Dial(withTimeout(t), "tcp", to)
	must(t, err)
	defer dialed.Close()
	accepted, err := listener.Accept()
	must(t, err)
	defer accepted.Close()
	type result struct {
		sent, got [32]byte
		err       error
	}
	results := make(chan result, 2)
	for i, conn := range []net.Conn{dialed, accepted} {
		must(t, conn.SetDeadline(time.Now().Add(2*patience)))
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
	bothOffloads(t, func(t *testing.T, r *rig, offloads bool) {
		r.config.Mappings[1] = mapping(model.TCP, "203.0.113.1:8080", inside(0, 80))
		r.apply(t)
		bulk(t, r.Endpoints[0], r.Remote, lab.RemoteAddress+":7000", lab.RemoteAddress+":7000")
		bulk(t, r.Remote, r.Endpoints[0], "172.16.1.2:80", published.String())
		for _, w := range []*wire{r.atRemote, r.atEndpoint[0]} {
			largest := 0
			for _, p := range w.came(func(p packet) bool { return p.protocol == model.TCP }) {
				largest = max(largest, p.size)
			}
			if offloads && largest < 30000 {
				t.Errorf("the largest packet had %d bytes: no segmentation offload was tried", largest)
			}
			if !offloads && largest > 1514 {
				t.Errorf("a packet of %d bytes with offloads off", largest)
			}
		}
		for _, s := range r.sessions(t) {
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
	bothOffloads(t, func(t *testing.T, r *rig, _ bool) {
		const datagrams, size = 20, 1000
		client := listen(t, r.Endpoints[0], text(endpointAddress(0), "4000"))
		server := listen(t, r.Remote, lab.RemoteAddress+":7000")
		to := netip.AddrPortFrom(remoteAddress, 7000)
		client.send(t, to, "first")
		from := server.expect(t, "first")
		option(t, client, unix.SOL_UDP, unix.UDP_SEGMENT, size)
		option(t, server, unix.SOL_UDP, unix.UDP_SEGMENT, size)
		data := make([]byte, datagrams*size)
		for i := range data {
			data[i] = 'a' + byte(i/size)
		}
		client.send(t, to, string(data))
		server.send(t, from, string(data))
		for i := range datagrams {
			want := string(data[i*size : (i+1)*size])
			server.expect(t, want)
			client.expect(t, want)
		}
		r.counted(t, model.UDP, inside(0, 4000), to, datagrams+1, datagrams)
	})
}
