package datapath

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/hostnat/hostnat/internal/natmodel"
)

// open are disagreements in which the data path is wrong by the RFC named, and
// which are not cured yet: a sequence that meets one ends there. Each has its
// row in model_regression_test.go; whoever cures it removes it here.
var open = []struct {
	name string
	is   func(d *disagreement) bool
}{
	{"RFC 1812 4.3.2.7: no answer to an ICMP error or a later fragment", func(d *disagreement) bool {
		return d.want.Verdict == natmodel.Dropped && d.arrival.Hook <= natmodel.FromBridge && strings.Contains(d.text, "verdict is 7, want 2")
	}},
	{"RFC 1812 5.3.7: martian source to a binding", func(d *disagreement) bool {
		return d.want.Reason == natmodel.InsideFromOutside && d.arrival.Hook == natmodel.FromOutside
	}},
	{"RFC 6146 3.5.2.2: RST after both FINs", func(d *disagreement) bool {
		return strings.Contains(d.text, "State:time-wait") && strings.Contains(d.text, "State:both-fin")
	}},
	{"RFC 4787 REQ-1: a mapping on an address that is not the paired one is not the way out", func(d *disagreement) bool {
		f := d.arrival.Frame
		l4 := 14 + int(f[14]&15)*4
		return d.arrival.Hook == natmodel.FromEndpoint && d.arrival.Endpoint == 0 && f[23] == 6 && len(f) > l4+2 &&
			binary.BigEndian.Uint16(f[l4:]) == 1001 // mapping 4
	}},
	{"RFC 6888 REQ-13: a dynamic port is lost once a mapping has had it", func(d *disagreement) bool {
		return d.removed && (strings.Contains(d.text, "out-of-ports") || strings.Contains(d.text, "to invalid AddrPort: free ports"))
	}},
	{"RFC 4787 REQ-1: a binding is lost to its internal port once a mapping stood beside it", func(d *disagreement) bool {
		if !d.removed {
			return false
		}
		f := d.arrival.Frame // mapping 2's internal end
		return strings.Contains(d.text, "index has not") || d.arrival.Hook == natmodel.FromBridge && len(f) > 36 && f[23] == 17 &&
			[4]byte(f[26:30]) == unplugged.As4() && binary.BigEndian.Uint16(f[14+int(f[14]&15)*4:]) == 1001
	}},
	{"bytes behind the datagram taken for its quote", func(d *disagreement) bool {
		f := d.arrival.Frame
		return len(f) > 34 && f[23] == 1 && len(f) > 14+int(binary.BigEndian.Uint16(f[16:]))
	}},
}

// known names the open disagreement that ended a sequence, if it is one.
func known(err error) string {
	var d *disagreement
	if errors.As(err, &d) {
		for _, o := range open {
			if o.is(d) {
				return o.name
			}
		}
	}
	return ""
}
