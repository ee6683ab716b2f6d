package server

import (
	"errors"
	"os"
	"testing"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/server/servertest"
)

// TestOpenTAP has a descriptor come with the answer, and a refusal without one.
func TestOpenTAP(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	socket, _ := serve(t, servertest.Example())
	client := api.NewClient(socket)
	tap, file, err := client.OpenTAP(t.Context(), api.TAPSpec{Bridge: "hn-web"})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if want := (api.TAP{Network: "web", Interface: "hntap0"}); tap != want {
		t.Errorf("%+v, want %+v", tap, want)
	}
	null, err := os.Stat(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if is, err := file.Stat(); err != nil || !os.SameFile(is, null) {
		t.Errorf("the descriptor is of %v, %v", is, err)
	}
	var refusal *api.Error
	if _, file, err := client.OpenTAP(t.Context(), api.TAPSpec{Bridge: "br0"}); !errors.As(err, &refusal) || refusal.Code != api.NotFound || file != nil {
		t.Errorf("of no network: %v, %v", file, err)
	}
}
