package datapath

import (
	"encoding/binary"
	"errors"

	"github.com/hostnat/hostnat/internal/natmodel"
)

// open are disagreements in which the data path is wrong by the RFC named, and
// which are not cured yet: a sequence that meets one ends there. Each has its
// row in model_regression_test.go; whoever cures it removes it here.
var open = []struct {
	name string
	is   func(d *disagreement) bool
}{
	{"RFC 4787 REQ-1: a mapping on an address that is not the paired one is not the way out", func(d *disagreement) bool {
		f := d.arrival.Frame
		if len(f) < 36 {
			return false
		}
		l4 := 14 + int(f[14]&15)*4
		return d.arrival.Hook == natmodel.FromEndpoint && d.arrival.Endpoint == 0 && f[23] == 6 && len(f) > l4+2 &&
			binary.BigEndian.Uint16(f[l4:]) == 1001 // mapping 4
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
