// Package nattest tests what the programs decide: mappings, filtering, states, lifetimes,
// ports, limits, ICMP errors.
package nattest

import (
	"testing"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
)

func TestMain(m *testing.M) { wire.Main(m) }
