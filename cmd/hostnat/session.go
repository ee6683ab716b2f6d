package main

import (
	"fmt"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func sessionCommand(a *app) *cobra.Command {
	return group("session", "Sessions: a binding's conversations with remotes",
		sessionList(a), sessionDelete(a), sessionWatch(a))
}

func sessionList(a *app) *cobra.Command {
	var filter api.Filter
	cmd := &cobra.Command{
		Use: "list", Short: "List the sessions",
		Long: "List the sessions. With -o wide also how long each side of the NAT took to answer when a TCP\n" +
			"connection was opened, and how often its SYN was repeated: whose fault it is that it took long.",
		Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Sessions(cmd.Context(), filter)
			if err != nil {
				return err
			}
			return printList(a, rows, sessionColumns(), handshakeColumns()...)
		},
	}
	addFilters(a, cmd, &filter)
	addSessionFilters(cmd, &filter)
	return cmd
}

func sessionDelete(a *app) *cobra.Command {
	var filter api.Filter
	var all bool
	cmd := &cobra.Command{
		Use: "delete (FILTER... | --all)", Short: "End the sessions that match every filter", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch filtered := filter != (api.Filter{}); {
			case !filtered && !all:
				return usagef(cmd, "a filter is missing; to end every session, give --all")
			case filtered && all:
				return usagef(cmd, "a filter and --all exclude each other")
			}
			e, err := a.client().DeleteSessions(cmd.Context(), filter, all)
			if err != nil {
				return err
			}
			return printLine(a, e, "sessions ended: %d", e.Ended)
		},
	}
	addFilters(a, cmd, &filter)
	addSessionFilters(cmd, &filter)
	cmd.Flags().BoolVar(&all, "all", false, "end every session")
	return cmd
}

func sessionColumns() []column[api.Session] {
	return []column[api.Session]{
		{"PROTOCOL", func(s api.Session) string { return string(s.Protocol) }},
		{"ENDPOINT", func(s api.Session) string { return s.Endpoint }},
		{"INTERNAL", func(s api.Session) string { return text.HostPort(s.Internal) }},
		{"EXTERNAL", func(s api.Session) string { return text.HostPort(s.External) }},
		{"REMOTE", func(s api.Session) string { return text.HostPort(s.Remote) }},
		{"STATE", stateText},
		{"LIFETIME", func(s api.Session) string { return text.Seconds(uint64(s.LifetimeSeconds)) }},
		{"PACKETS OUT/IN", func(s api.Session) string { return fmt.Sprintf("%d/%d", s.PacketsOut, s.PacketsIn) }},
		{"OUT", func(s api.Session) string { return text.Bytes(s.BytesOut) }},
		{"IN", func(s api.Session) string { return text.Bytes(s.BytesIn) }},
		{"REMOTE NAME", func(s api.Session) string { return s.RemoteName }},
	}
}

// handshakeColumns are those of -o wide.
func handshakeColumns() []column[api.Session] {
	return []column[api.Session]{
		{"ENDPOINT RTT", func(s api.Session) string { return text.Answered(s.Handshake, api.EndpointSide) }},
		{"OUTSIDE RTT", func(s api.Session) string { return text.Answered(s.Handshake, api.OutsideSide) }},
		{"SYNS REPEATED", func(s api.Session) string {
			if s.Handshake == (api.Handshake{}) {
				return ""
			}
			return fmt.Sprint(s.Handshake.RepeatedSYNs)
		}},
	}
}

func stateText(s api.Session) string {
	if s.State == api.StateNone {
		return ""
	}
	return string(s.State)
}
