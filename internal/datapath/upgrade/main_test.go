package upgrade_test

import (
	"testing"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
)

func TestMain(m *testing.M) { wire.Main(m) }
