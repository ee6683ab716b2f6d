package datapath

import (
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// marker sends a datagram to the mapping behind what was sent before, and waits
// for it: what was to come has come then.
func (r *rig) marker(t *testing.T) {
	t.Helper()
	r.fromRemote(t, segment{protocol: model.UDP, from: stranger(9, 99), to: published, payload: []byte("marker")})
	r.atEndpoint[0].await(t, "marker", 1, says("marker"))
}

// newMappedRig publishes port 80 of endpoint 0 as 8080, TCP and UDP.
func newMappedRig(t *testing.T, endpoints int) *rig {
	t.Helper()
	r := newRig(t, endpoints)
	r.config.Mappings[1] = mapping(model.UDP, "0.0.0.0:8080", inside(0, 80))
	r.config.Mappings[2] = mapping(model.TCP, "0.0.0.0:8080", inside(0, 80))
	r.apply(t)
	return r
}
