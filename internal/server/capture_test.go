package server

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/capture"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// captured is a UDP datagram of an endpoint, before and after the NAT, and that three
// others were lost.
func captured() model.CaptureBatch {
	side := func(from byte, port byte) []byte {
		return append([]byte{
			2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
			0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, from, 192, 0, 2, 7,
			0, port, 0, 53, 0, 9, 0, 0,
		}, 'x')
	}
	p := model.CapturedPacket{
		Time: time.Date(2026, 11, 30, 3, 14, 0, 0, time.UTC), ID: 9, Program: "inside_ingress", Link: "hv-c1", Network: "web", Endpoint: "c1",
		Ethernet: true, Verdict: model.VerdictSent, Code: 7, CameLength: 43, Length: 43, Came: side(2, 40), Went: side(9, 41),
		Session: &model.Session{
			NAT: "default", Network: "web", Endpoint: "c1", Protocol: model.UDP, Internal: netip.MustParseAddrPort("10.0.0.2:40"),
			External: netip.MustParseAddrPort("10.0.0.9:41"), Remote: netip.MustParseAddrPort("192.0.2.7:53"),
		},
	}
	return model.CaptureBatch{Packets: []model.CapturedPacket{p, p}, Lost: 3}
}

func TestPackets(t *testing.T) {
	t.Parallel()
	const line = `{"time":"2026-11-30T03:14:00Z","id":9,"program":"inside_ingress","link":"hv-c1","network":"web","endpoint":"c1","verdict":"sent",` +
		`"came":{"etherType":2048,"protocol":17,"from":"10.0.0.2:40","to":"192.0.2.7:53","length":43},` +
		`"went":{"etherType":2048,"protocol":17,"from":"10.0.0.9:41","to":"192.0.2.7:53","length":43},` +
		`"session":{"nat":"default","network":"web","endpoint":"c1","protocol":"udp","internal":"10.0.0.2:40","external":"10.0.0.9:41","remote":"192.0.2.7:53","state":"none"},` +
		`"short":"hv-c1 udp 10.0.0.2:40 → 192.0.2.7:53 43 bytes as udp 10.0.0.9:41 → 192.0.2.7:53  sent; from c1; session udp 10.0.0.2:40 10.0.0.9:41 192.0.2.7:53; nat default"}`
	for _, tt := range []struct {
		query  string
		status int
		want   string
	}{
		{"?count=1", http.StatusOK, `"lost":3,"short":"3 packets were lost: they came faster than they were read"}` + "\n" + line + "\n"},
		{"?count=2&filter=src+host+10.0.0.9+and+port+40", http.StatusOK, line + "\n" + line + "\n"},
		{"?filter=hots", http.StatusBadRequest, `filter: \"hots\" is no condition`},
		{"?count=0", http.StatusBadRequest, `count=\"0\" is not a number`},
		{"?length=70000", http.StatusBadRequest, `length=\"70000\" is not a number`},
		{"?bpf=1", http.StatusBadRequest, `what tcpdump -ddd prints begins with`},
		{"?snap=1", http.StatusBadRequest, `query parameter \"snap\" is not known`},
	} {
		s := servertest.Example()
		s.Captured = captured()
		w := do(t.Context(), s, "GET", "/v1/packets"+tt.query, "")
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %s, want %d %s", tt.query, w.Code, w.Body, tt.status, tt.want)
		}
	}
}

func TestCaptureIsAFile(t *testing.T) {
	t.Parallel()
	s := servertest.Example()
	s.Captured = captured()
	w := do(t.Context(), s, "GET", "/v1/capture?count=2", "")
	var file bytes.Buffer
	copied, err := capture.Copy(w.Body, &file, 0, nil)
	if w.Code != http.StatusOK || err != nil || copied != (capture.Copied{Packets: 2, Lost: 3}) {
		t.Errorf("%d, %+v, %v", w.Code, copied, err)
	}
}

// TestCapturesAreNotForReaders: what packets carry is for those alone who may change things.
func TestCapturesAreNotForReaders(t *testing.T) {
	t.Parallel()
	ctx := context.WithValue(t.Context(), peerKey{}, peer{uid: 1000, groups: []uint32{1000}})
	for _, path := range []string{"/v1/capture", "/v1/packets", "/v1/recording"} {
		if w := do(ctx, servertest.Example(), "GET", path+"?count=1", ""); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
