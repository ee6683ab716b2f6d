// Package bridgehelper is the program as QEMU's helper for bridges: QEMU starts it, and
// gets the descriptor of a TAP that is plugged into a network (net/tap.c of QEMU).
// QEMU's own helper has the rights of root; this one has those of its user, and the
// daemon decides.
package bridgehelper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
)

// Name is how the program has to be called to be this one.
const Name = "hostnat-bridge-helper"

// IsHelper reports whether the program was started by that name.
func IsHelper(argument string) bool { return filepath.Base(argument) == Name }

// Daemon is as much of the API as is needed. *api.Client has it.
type Daemon interface {
	OpenTAP(ctx context.Context, spec api.TAPSpec) (api.TAP, *os.File, error)
}

const usage = Name + " [--endpoint NAME] [--use-vnet] --br=BRIDGE --fd=SOCKET"

// Run does what the arguments ask for: --br=BRIDGE --fd=SOCKET [--use-vnet]. BRIDGE may be
// a network's name, too. With --endpoint, which the user writes behind the helper's name,
// it is the TAP that was made for that endpoint, whatever the bridge.
func Run(ctx context.Context, daemon Daemon, args []string) error {
	var bridge, endpoint string
	var socket int
	var vnet bool
	flags := pflag.NewFlagSet(Name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&bridge, "br", "", "")
	flags.StringVar(&endpoint, "endpoint", "", "")
	flags.IntVar(&socket, "fd", -1, "")
	flags.BoolVar(&vnet, "use-vnet", false, "")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w; usage: %s", err, usage)
	}
	if bridge == "" && endpoint == "" || socket < 0 {
		return fmt.Errorf("usage: %s", usage)
	}
	file, err := open(ctx, daemon, bridge, endpoint, vnet)
	if err != nil {
		return err
	}
	defer file.Close()
	// One byte, that the descriptor can come with.
	if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(int(file.Fd())), nil, 0); err != nil {
		return fmt.Errorf("hand the TAP over by descriptor %d: %w", socket, err)
	}
	return nil
}

func open(ctx context.Context, daemon Daemon, bridge, endpoint string, vnet bool) (*os.File, error) {
	if endpoint != "" {
		_, file, err := daemon.OpenTAP(ctx, api.TAPSpec{Endpoint: endpoint, VNetHdr: vnet})
		return file, err
	}
	_, file, err := daemon.OpenTAP(ctx, api.TAPSpec{Bridge: bridge, VNetHdr: vnet})
	var refusal *api.Error
	if errors.As(err, &refusal) && refusal.Code == api.NotFound {
		if _, named, err := daemon.OpenTAP(ctx, api.TAPSpec{Network: bridge, VNetHdr: vnet}); err == nil {
			return named, nil
		}
	}
	return file, err
}
