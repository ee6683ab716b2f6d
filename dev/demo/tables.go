package demo

import (
	"context"

	"github.com/hostnat/hostnat/api"
)

// listTables is chapter 4.
func listTables(ctx context.Context, s *stage) error {
	s.say("The kernel's own tables, read at this moment. A binding is an inside port with its outside port; " +
		"a session is its conversation with one remote. Here without some columns, for which this page is too narrow.")
	err := s.table(ctx, []string{"PROTOCOL", "INTERNAL", "EXTERNAL", "REMOTE", "STATE", "LIFETIME"}, "session", "list")
	if err != nil {
		return err
	}
	err = s.table(ctx, []string{"PROTOCOL", "INTERNAL", "EXTERNAL", "SESSIONS", "CONFIGURED", "NETWORK"}, "binding", "list")
	if err != nil {
		return err
	}
	sessions, err := s.client.Sessions(ctx, api.Filter{})
	if err != nil {
		return err
	}
	bindings, err := s.client.Bindings(ctx, api.Filter{})
	if err != nil {
		return err
	}
	// TCP twice, UDP to two servers from one port, one ping, the host's visit to c1,
	// and c2's: a session on either side.
	return s.promise(len(sessions) == 8 && len(bindings) == 5,
		"%d sessions with %d bindings: the two UDP sessions share one", len(sessions), len(bindings))
}
