// Package extcap is the program as one of Wireshark's capture programs: networks and
// endpoints are interfaces there (extcap(4) of Wireshark).
package extcap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/hostnat/hostnat/api"
)

// Name is how the program has to be called to be this one.
const Name = "hostnat-extcap"

// IsExtcap reports whether the program was started by that name.
func IsExtcap(argument string) bool { return filepath.Base(argument) == Name }

// Daemon is as much of the API as is needed. *api.Client has it.
type Daemon interface {
	Networks(ctx context.Context) ([]api.Network, error)
	Endpoints(ctx context.Context, network string) ([]api.Endpoint, error)
	Capture(ctx context.Context, o api.CaptureOptions) (io.ReadCloser, error)
}

// Program is one run of it.
type Program struct {
	Daemon  Daemon
	Version string
	Args    []string
	Out     io.Writer
	Open    func(fifo string) (io.WriteCloser, error) // opens what Wireshark reads packets from
}

// everything is the interface at which all packets are.
const everything = "hostnat"

// request is what Wireshark asks for.
type request struct {
	interfaces, dlts, config, capture bool
	version, name, fifo, filter       string
	reload, value                     string
}

// Run does what the arguments ask for.
func (p Program) Run(ctx context.Context) error {
	var r request
	flags := pflag.NewFlagSet(Name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&r.interfaces, "extcap-interfaces", false, "")
	flags.BoolVar(&r.dlts, "extcap-dlts", false, "")
	flags.BoolVar(&r.config, "extcap-config", false, "")
	flags.BoolVar(&r.capture, "capture", false, "")
	flags.StringVar(&r.version, "extcap-version", "", "")
	flags.StringVar(&r.name, "extcap-interface", "", "")
	flags.StringVar(&r.fifo, "fifo", "", "")
	flags.StringVar(&r.filter, "extcap-capture-filter", "", "")
	flags.StringVar(&r.reload, "extcap-reload-option", "", "")
	flags.StringVar(&r.value, "filter", "", "")
	if err := flags.Parse(p.Args); err != nil {
		return fmt.Errorf("%w; this is for Wireshark's folder of capture programs, see docs/capture.md", err)
	}
	switch {
	case r.interfaces:
		return p.interfaces(ctx)
	case r.name == "":
		return errors.New("--extcap-interface is missing; this is for Wireshark's folder of capture programs, see docs/capture.md")
	case r.dlts:
		_, err := fmt.Fprintln(p.Out, "dlt {number=1}{name=EN10MB}{display=Ethernet}")
		return err
	case r.config:
		_, err := fmt.Fprintln(p.Out, "arg {number=0}{call=--filter}{display=Filter}{type=string}{tooltip=as of hostnat capture: tcp port 443 and verdict dropped}")
		return err
	case r.filter != "" && !r.capture: // whether what was typed is a filter
		return p.check(ctx, r.filter)
	case r.capture:
		return p.capture(ctx, r)
	}
	return errors.New("nothing was asked for")
}

func (p Program) interfaces(ctx context.Context) error {
	lines := []string{
		fmt.Sprintf("extcap {version=%s}{help=https://www.wireshark.org}{display=hostnat}", plain(p.Version)),
		"interface {value=" + everything + "}{display=hostnat: all packets}",
	}
	networks, err := p.Daemon.Networks(ctx)
	if err != nil {
		return err
	}
	for _, n := range networks {
		lines = append(lines, fmt.Sprintf("interface {value=%s-network-%s}{display=hostnat: network %s}", everything, n.Name, n.Name))
	}
	endpoints, err := p.Daemon.Endpoints(ctx, "")
	if err != nil {
		return err
	}
	for _, e := range endpoints {
		lines = append(lines, fmt.Sprintf("interface {value=%s-endpoint-%s}{display=hostnat: endpoint %s of %s}", everything, e.Name, e.Name, e.Network))
	}
	_, err = fmt.Fprintln(p.Out, strings.Join(lines, "\n"))
	return err
}

// plain leaves out what ends a value.
func plain(text string) string { return strings.NewReplacer("{", "", "}", "").Replace(text) }

// filterOf is an interface's filter; ok is false if there is no such interface.
func filterOf(name string) (filter string, ok bool) {
	rest, is := strings.CutPrefix(name, everything)
	if !is || rest == "" {
		return "", is
	}
	for _, kind := range []string{"network", "endpoint"} {
		if object, is := strings.CutPrefix(rest, "-"+kind+"-"); is && object != "" {
			return kind + " " + object, true
		}
	}
	return "", false
}

// check has the daemon read a filter: what it says against it, Wireshark shows.
func (p Program) check(ctx context.Context, filter string) error {
	packets, err := p.Daemon.Capture(ctx, api.CaptureOptions{Filter: filter})
	if err != nil {
		_, err = fmt.Fprintln(p.Out, err)
		return err
	}
	return packets.Close()
}

func (p Program) capture(ctx context.Context, r request) error {
	own, ok := filterOf(r.name)
	if !ok {
		return fmt.Errorf("there is no interface %q", r.name)
	}
	if r.fifo == "" {
		return errors.New("--fifo is missing")
	}
	var parts []string
	for _, part := range []string{own, r.filter, r.value} {
		if strings.TrimSpace(part) != "" {
			parts = append(parts, "("+part+")")
		}
	}
	packets, err := p.Daemon.Capture(ctx, api.CaptureOptions{Filter: strings.Join(parts, " and ")})
	if err != nil {
		return err
	}
	defer packets.Close()
	out, err := p.Open(r.fifo)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, packets)
	if ctx.Err() != nil || errors.Is(err, io.ErrClosedPipe) {
		err = nil // Wireshark has ended it
	}
	return errors.Join(err, out.Close())
}
