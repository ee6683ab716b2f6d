package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// CapturedPacket is a packet as it came to one of the data path's programs, and as it
// went on. With Lost it is none, but says how many others there was no room for.
type CapturedPacket struct {
	Time     time.Time      `json:"time"`
	ID       uint64         `json:"id"`                 // the packet's own; another program that it meets has another
	Program  string         `json:"program,omitempty"`  // inside_ingress, ...
	Link     string         `json:"link,omitempty"`     // at which it was
	Network  string         `json:"network,omitempty"`  // that it came from; left out: from outside
	Endpoint string         `json:"endpoint,omitempty"` // that sent it; left out: none that is known
	Target   string         `json:"target,omitempty"`   // the endpoint at the other end, if both are inside
	Verdict  string         `json:"verdict,omitempty"`  // sent, left (to the host, as if hostnat were not there) or dropped
	Reason   string         `json:"reason,omitempty"`   // of a drop
	Told     bool           `json:"told,omitempty"`     // it was dropped, and Went is what its sender was told
	Came     PacketSide     `json:"came,omitzero"`
	Went     PacketSide     `json:"went,omitzero"` // the same as Came, if nothing was changed
	Session  *PacketSession `json:"session,omitempty"`
	Lost     uint64         `json:"lost,omitempty"`
	Short    string         `json:"short"` // all that matters in a line
}

// PacketSide is what a packet's headers say on one side of a NAT.
type PacketSide struct {
	EtherType uint16 `json:"etherType,omitempty"` // 2048: IPv4
	Protocol  uint8  `json:"protocol,omitempty"`  // of IP, by its number
	From      string `json:"from,omitempty"`      // A or A:PORT
	To        string `json:"to,omitempty"`
	TCPFlags  uint8  `json:"tcpFlags,omitempty"` // as in its header: 2 is SYN
	ICMPType  *uint8 `json:"icmpType,omitempty"`
	ICMPCode  *uint8 `json:"icmpCode,omitempty"`
	Length    int    `json:"length"` // of the frame, bytes
}

// PacketSession is the session that a packet belongs to, as it was then.
type PacketSession struct {
	NAT      string         `json:"nat"`
	Network  string         `json:"network"`
	Endpoint string         `json:"endpoint,omitempty"`
	Protocol Protocol       `json:"protocol"`
	Internal netip.AddrPort `json:"internal"`
	External netip.AddrPort `json:"external"`
	Remote   netip.AddrPort `json:"remote"`
	State    TCPState       `json:"state"`
}

// CaptureOptions say what to capture. The zero value is everything.
type CaptureOptions struct {
	Filter  string // "tcp port 443 and endpoint c1"; docs/capture.md has its words
	Program string // what tcpdump -ddd prints for a filter; both have to select a packet
	Length  int    // bytes of a packet at most; 0: all, as far as 65,536
	Count   int    // packets after which the capture ends; 0: never
}

func (o CaptureOptions) values() url.Values {
	values := url.Values{}
	for key, text := range map[string]string{"filter": o.Filter, "bpf": o.Program} {
		if text != "" {
			values.Set(key, text)
		}
	}
	for key, n := range map[string]int{"length": o.Length, "count": o.Count} {
		if n != 0 {
			values.Set(key, strconv.Itoa(n))
		}
	}
	return values
}

// PcapNG is the content type of a file of packets.
const PcapNG = "application/x-pcapng"

// Capture returns packets from now on as a pcapng file, until ctx ends, the reader is
// closed or there are Count of them. A packet is two blocks with one packet id.
func (c *Client) Capture(ctx context.Context, o CaptureOptions) (io.ReadCloser, error) {
	resp, err := c.stream(ctx, "/v1/capture", o, PcapNG)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Packets sends packets from now on, without what they carry, until ctx ends, the daemon
// stops or there are Count of them; then the channel is closed.
func (c *Client) Packets(ctx context.Context, o CaptureOptions) (<-chan CapturedPacket, error) {
	resp, err := c.stream(ctx, "/v1/packets", o, EventStream)
	if err != nil {
		return nil, err
	}
	return lines[CapturedPacket](ctx, resp.Body), nil
}

func (c *Client) stream(ctx context.Context, path string, o CaptureOptions, kind string) (*http.Response, error) {
	resp, err := c.send(ctx, http.MethodGet, path+encodeQuery(o.values()), nil)
	if err != nil {
		return nil, err
	}
	if got := resp.Header.Get("Content-Type"); got != kind {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("capture: the answer is %q, not %q", got, kind)
	}
	return resp, nil
}

// lines reads one JSON object a line until ctx ends or there are no more.
func lines[T any](ctx context.Context, from io.ReadCloser) <-chan T {
	all := make(chan T, 64)
	go func() {
		defer close(all)
		defer from.Close()
		for decoder := json.NewDecoder(from); ; {
			var v T
			if decoder.Decode(&v) != nil {
				return
			}
			select {
			case all <- v:
			case <-ctx.Done():
				return
			}
		}
	}()
	return all
}

// RecordOptions say what to record. The zero value is everything, until ctx ends.
type RecordOptions struct {
	Filter  string // as of a capture: only these packets
	Seconds int    // after which it ends; 0: never
	Count   int    // packets after which it ends; 0: never
}

// Record returns the lines of a recording, JSON objects, until ctx ends, the reader is
// closed, the time is over or there are Count packets. 'hostnat replay' reads them, packed
// with gzip or not.
func (c *Client) Record(ctx context.Context, o RecordOptions) (io.ReadCloser, error) {
	values := CaptureOptions{Filter: o.Filter, Count: o.Count}.values()
	if o.Seconds != 0 {
		values.Set("seconds", strconv.Itoa(o.Seconds))
	}
	resp, err := c.send(ctx, http.MethodGet, "/v1/recording"+encodeQuery(values), nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
