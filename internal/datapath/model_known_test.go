package datapath

import (
	"errors"
)

// open are disagreements in which the data path is wrong by the RFC named, and
// which are not cured yet: a sequence that meets one ends there. Each has its
// row in model_regression_test.go; whoever cures it removes it here.
var open = []struct {
	name string
	is   func(d *disagreement) bool
}{}

// knownOpen names the open disagreement that ended a sequence.
func knownOpen(err error) string {
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
