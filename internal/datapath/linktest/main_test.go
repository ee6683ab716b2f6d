// Package linktest tests the programs on links of each kind: bridges, ports, TAP and
// TUN, fragments, what is forged or damaged, what may not leak.
package linktest

import (
	"testing"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
)

func TestMain(m *testing.M) { wire.Main(m) }
