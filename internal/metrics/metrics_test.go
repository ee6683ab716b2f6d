package metrics

import (
	"bytes"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func full() Snapshot {
	return Snapshot{
		Version: `v1 "x"`, UptimeSeconds: 1, NATs: 2, Networks: 3, Endpoints: 4, Mappings: 5, Bindings: 6, Sessions: 7, MaxSessions: 8,
		Problems: 9, Drops: map[string]uint64{"no-session": 12, "ipv6": 0}, EventsLost: 10,
		Pools:    []Pool{{NAT: "default", Protocol: "tcp", Address: netip.MustParseAddr("203.0.113.1"), Ports: 100, InUse: 11}},
		Refusals: []Refusal{{Interface: "tap0", Reason: "mac-elsewhere", Frames: 13}},
		DHCP:     []DHCP{{Network: "web", Forged: 14, Unserved: 15}}, DNS: map[string]uint64{"web": 16},
		Proxies:      []Proxy{{ID: "1", Now: 17, Total: 18, Refused: 19, GaveWay: 20, BytesIn: 21, BytesOut: 22}},
		API:          API{Connections: 23, Watchers: 24, RefusedConnections: 25, RefusedWatchers: 26, ClosedIdle: 27},
		RoundTrips:   []RoundTrips{{Network: "web", Side: "outside", Bounds: []float64{0.001, 0.1}, Buckets: []uint64{1, 2, 3}, Seconds: 30, Unanswered: 31}},
		RepeatedSYNs: map[string]uint64{"web": 32}, MissedHandshakes: 33,
		Exports: []Export{{Kind: "ipfix", Destination: "udp:192.0.2.9:4739", Sent: 28, Lost: 29}},
	}
}

// TestTextIsRead: what is written can be read, each number is there once, and the
// page has each metric and no other.
func TestTextIsRead(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	if err := Write(&text, full()); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	read, err := parser.TextToMetricFamilies(bytes.NewReader(text.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var numbers []float64
	for name, f := range read {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/metrics.md has no %s", name)
		}
		for _, m := range f.Metric {
			numbers = append(numbers, m.GetGauge().GetValue()+m.GetCounter().GetValue()+m.GetHistogram().GetSampleSum())
			for _, b := range m.GetHistogram().GetBucket() {
				if of := map[float64]uint64{0.001: 1, 0.1: 3, math.Inf(1): 6}; b.GetCumulativeCount() != of[b.GetUpperBound()] {
					t.Errorf("%d answers took up to %v s, want %v", b.GetCumulativeCount(), b.GetUpperBound(), of)
				}
			}
		}
	}
	if named := strings.Count(string(page), "`hostnat_"); named != len(read) {
		t.Errorf("docs/metrics.md names %d metrics; there are %d", named, len(read))
	}
	slices.Sort(numbers)
	want := []float64{0, 1, 1} // a drop counter, the version, the uptime
	for n := 2.0; n <= 33; n++ {
		want = append(want, n)
	}
	want = append(want, 100)
	if !slices.Equal(numbers, want) {
		t.Errorf("numbers %v, want %v", numbers, want)
	}
}

// TestNothingToTell: what there is none of is left out.
func TestNothingToTell(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	if err := Write(&text, Snapshot{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "proxy") || !strings.Contains(text.String(), "\nhostnat_sessions 0\n") {
		t.Errorf("got %s", &text)
	}
}
