package datapath

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// stamped gives the rows of links on switches what frames carry there once they have
// been checked (bpf/stamp.h). Without ports that are checked there is none.
func stamped(values map[uint32]kernel.Inside, c Config, secret [2]uint64) map[uint32]kernel.Inside {
	for ifindex, i := range c.Insides {
		if !i.PointToPoint && !c.Networks[i.Network].Unguarded {
			value := values[ifindex]
			value.Stamp = stampOf(secret, i.Network)
			values[ifindex] = value
		}
	}
	return values
}

// stampOf is a network's own, and the same in every version: while one takes over from
// another, frames are stamped by the one and looked at by the other.
func stampOf(secret [2]uint64, network uint32) uint32 {
	text := binary.NativeEndian.AppendUint32(nil, network)
	for _, half := range secret {
		text = binary.NativeEndian.AppendUint64(text, half)
	}
	sum := sha256.Sum256(text)
	return binary.NativeEndian.Uint32(sum[:]) | 1
}
