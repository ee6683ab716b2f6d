package cni

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	codeRefused uint = 100 // it conflicts with something that exists, or may not be done
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

// maxInput is how long what a runtime says may be, in bytes: far more than a configuration
// with the results of the plugins that come before.
const maxInput = 1 << 20

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

	if err := bound(&os.Stdin, maxInput); err != nil {
		return printed(types.NewError(types.ErrDecodingFailure, "hostnat: read what the runtime says", err.Error()))
	}
	funcs := skel.CNIFuncs{Add: call(add), Del: call(p.Del), Check: call(p.Check), GC: call(p.GC), Status: call(p.Status)}
	if !rootful {
		funcs.Del = func(*skel.CmdArgs) error { return nil } // nothing can be there
	}
	versions := version.PluginSupports("0.3.1", "0.4.0", "1.0.0", "1.1.0")
	if refusal := skel.PluginMainFuncsWithError(funcs, versions, "hostnat "+s.Version+", as a CNI plugin"); refusal != nil {
		return printed(refusal)
	}
	return 0
}

// printed says why it is refused, and returns the exit code.
func printed(refusal *types.Error) int {
	if err := refusal.Print(); err != nil {
		return 2
	}
	return 1
}

// bound has a file be one that holds what it held, and refuses what is longer: the library
// reads its standard input to the end.
func bound(file **os.File, most int) error {
	text, err := io.ReadAll(io.LimitReader(*file, int64(most)+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("it is longer than %d bytes", most)
	}
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	go func() {
		_, _ = write.Write(text) // the library reads all of it, or the program ends
		_ = write.Close()
	}()
	*file = read
	return nil
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
