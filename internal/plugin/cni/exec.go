package cni

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/container"
)

// Codes of refusals beyond those of the specification, which leaves 100 and more to
// plugins.
const (
	codeRefused uint = 100 // it contradicts something that exists, or may not be done
	codeChanged uint = 101 // CHECK: it is not as ADD has left it
)

// IsPlugin reports whether a program that was called by that name, with so many
// arguments, is to be the plugin: it is called hostnat-cni, or a runtime says what to do.
// Runtimes give no arguments.
func IsPlugin(calledAs string, arguments int, command string) bool {
	return filepath.Base(calledAs) == "hostnat-cni" || arguments == 0 && command != ""
}

// Surroundings are those of one run.
type Surroundings struct {
	Version string
	UIDMap  string // of the process: /proc/self/uid_map
	Euid    int
}

// Exec does what the environment says, and returns the exit code. Errors go to the
// output as JSON.
func (p *Plugin) Exec(ctx context.Context, s Surroundings) int {
	rootful := container.Rootful(s.Euid, s.UIDMap)
	call := func(do func(context.Context, *skel.CmdArgs) error) func(*skel.CmdArgs) error {
		return func(r *skel.CmdArgs) error {
			if !rootful {
				return types.NewError(codeRefused, "hostnat: rootless containers are not on the host's own network", "run the container engine as root")
			}
			return coded(do(ctx, r))
		}
	}
	add := func(ctx context.Context, r *skel.CmdArgs) error {
		result, err := p.Add(ctx, r)
		if err != nil {
			return err
		}
		asked, err := (&version.ConfigDecoder{}).Decode(r.StdinData)
		if err != nil {
			return err
		}
		return types.PrintResult(result, asked)
	}

	funcs := skel.CNIFuncs{Add: call(add), Del: call(p.Del), Check: call(p.Check), GC: call(p.GC), Status: call(p.Status)}
	if !rootful {
		funcs.Del = func(*skel.CmdArgs) error { return nil } // nothing can be there
	}
	versions := version.PluginSupports("0.3.1", "0.4.0", "1.0.0", "1.1.0")
	refusal := skel.PluginMainFuncsWithError(funcs, versions, "hostnat "+s.Version+", as a CNI plugin")
	if refusal == nil {
		return 0
	}
	if err := refusal.Print(); err != nil {
		return 2
	}
	return 1
}

// coded gives an error the specification's number.
func coded(err error) error {
	var has *types.Error
	if err == nil || errors.As(err, &has) {
		return err
	}
	code := types.ErrInternal
	switch api.CodeOf(err) {
	case api.Invalid, api.NotFound:
		code = types.ErrInvalidNetworkConfig
	case api.Conflict, api.Denied:
		code = codeRefused
	case api.Unavailable, api.Exhausted:
		code = types.ErrTryAgainLater
	}
	return types.NewError(code, fmt.Sprintf("hostnat: %s", strings.Join(strings.Fields(err.Error()), " ")), "")
}
