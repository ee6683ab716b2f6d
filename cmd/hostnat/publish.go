package main

import (
	"context"
	"errors"
	"strings"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func publishCommand(a *app) *cobra.Command {
	var spec api.MappingSpec
	cmd := &cobra.Command{
		Use: "publish [[ADDRESS:]PORT:]ENDPOINT:PORT[/tcp|udp|tcp,udp]", Short: "Publish a port of an endpoint: mapping add in short",
		Args: positional("[[ADDRESS:]PORT:]ENDPOINT:PORT"), ValidArgsFunction: a.completePublished,
		Example: "  hostnat publish 8080:c1:80\n  hostnat publish 53:c1:53/tcp,udp\n  hostnat publish 192.0.2.1:8000-8009:c1:80-89\n  hostnat publish c1:80        # a free port is chosen",
		RunE: func(cmd *cobra.Command, args []string) error {
			protocols, ok := parsePublished(&spec, args[0])
			if !ok {
				return usagef(cmd, "%q is not [[ADDRESS:]PORT:]ENDPOINT:PORT[/PROTOCOL]", args[0])
			}
			return addMappings(cmd.Context(), a, spec, protocols)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&spec.Network, "network", "", "the `network` of an address that several networks have")
	flags.StringArrayVar(&spec.From, "from", nil, "let only this `CIDR` in; may be repeated")
	flags.BoolVar(&spec.Force, "force", false, "take the port even if a program of the host listens there")
	metadataFlags(cmd, &spec.Labels, &spec.Owner)
	a.completeFlagFrom(cmd, "network", networkNames)
	return cmd
}

// addMappings adds one for each protocol, or none. A port that is chosen for the first is
// the others' too.
func addMappings(ctx context.Context, a *app, spec api.MappingSpec, protocols []string) error {
	var done []api.Mapping
	for _, spec.Protocol = range protocols {
		m, err := a.client().AddMapping(ctx, spec)
		if err != nil {
			for _, m := range done {
				err = errors.Join(err, a.client().DeleteMapping(context.WithoutCancel(ctx), m.ID))
			}
			return err
		}
		done = append(done, m)
		spec.External = strings.TrimPrefix(text.HostPorts(m.External), "*:")
	}
	return printMappings(a, done)
}

// parsePublished reads a published port as Docker writes it.
func parsePublished(spec *api.MappingSpec, text string) (protocols []string, ok bool) {
	ports, protocol, given := strings.Cut(text, "/")
	if !given {
		protocol = "tcp"
	}
	parts := strings.Split(ports, ":")
	n := len(parts)
	if n < 2 || n > 4 {
		return nil, false
	}
	spec.External, spec.Internal = strings.Join(parts[:n-2], ":"), strings.Join(parts[n-2:], ":")
	for name := range strings.SplitSeq(protocol, ",") {
		protocols = append(protocols, strings.ToLower(name))
	}
	return protocols, true
}

// printMappings prints what was added: one thing, or a list.
func printMappings(a *app, list []api.Mapping) error {
	if a.format != formatTable && len(list) > 1 {
		return printList(a, list, nil)
	}
	return forEach(list, func(m api.Mapping) error { return printMapping(a, m) })
}

func printMapping(a *app, m api.Mapping) error {
	return printLine(a, m, "mapping %d: %s %s → %s%s", m.ID, m.Protocol, text.HostPorts(m.External), target(m), fromText(m))
}
