package main

import (
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

// addFilters gives a command the flags that select bindings or sessions.
func addFilters(a *app, cmd *cobra.Command, f *api.Filter) {
	flags := cmd.Flags()
	flags.StringVar(&f.NAT, "nat", "", "only of this `NAT`")
	flags.StringVar(&f.Network, "network", "", "only of this `network`")
	flags.StringVar(&f.Endpoint, "endpoint", "", "only of this `endpoint`")
	flags.StringVar(&f.Protocol, "protocol", "", "only tcp, udp or icmp")
	flags.StringVar(&f.Internal, "internal", "", "only this inside `A, A:PORT, :PORT or CIDR`")
	flags.StringVar(&f.External, "external", "", "only this external `A, A:PORT, :PORT or CIDR`")
	a.completeFlagFrom(cmd, "nat", natNames)
	a.completeFlagFrom(cmd, "network", networkNames)
	a.completeFlagFrom(cmd, "endpoint", endpointNames)
	completeFlag(cmd, "protocol", "tcp", "udp", "icmp")
}

// addSessionFilters adds those that only sessions have.
func addSessionFilters(cmd *cobra.Command, f *api.Filter) {
	flags := cmd.Flags()
	flags.StringVar(&f.Remote, "remote", "", "only this remote `A, A:PORT, :PORT or CIDR`")
	flags.StringVar(&f.RemoteName, "remote-name", "", "only remotes that were asked for by this DNS `name`; *.example.com is all below one")
	flags.StringVar(&f.State, "state", "", "only this TCP `state`")
	completeFlag(cmd, "state", tcpStates()...)
}

func tcpStates() []string {
	return namesOf([]api.TCPState{
		api.StateInternalSYN, api.StateExternalSYN, api.StateEstablished, api.StateInternalFIN,
		api.StateExternalFIN, api.StateBothFIN, api.StateTimeWait,
	}, func(s api.TCPState) string { return string(s) })
}
