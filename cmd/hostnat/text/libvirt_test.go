package text

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
)

func TestPrintLibvirt(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := Libvirt(&out, api.Network{Name: "web", Bridge: "hn-web"}); err != nil {
		t.Fatal(err)
	}
	want := `<network>
  <name>web</name>
  <forward mode="bridge"></forward>
  <bridge name="hn-web"></bridge>
</network>
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := Libvirt(&out, api.Network{Name: "snap"}); err == nil || !strings.Contains(err.Error(), `network "snap" has no bridge`) {
		t.Errorf("without a bridge: %v", err)
	}
}
