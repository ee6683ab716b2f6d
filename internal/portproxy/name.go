package portproxy

import (
	"errors"
	"fmt"
	"os"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/sniff"
)

// newNameChooser returns the chooser of a rule of kind model.ByName.
func newNameChooser(routes []model.ProxyRoute) Chooser { return byName{model.NewServerNames(routes)} }

// byName sends a connection where the name leads that the client says first. Of
// several HTTP requests on one connection the first one's counts, as the server
// name of TLS holds for a whole connection.
type byName struct{ names *model.ServerNames }

// errHeadTooLong says that a client has sent maxHead and no name yet.
var errHeadTooLong = fmt.Errorf("the client's first message is longer than %d bytes", maxHead)

// Choose looks for the name.
func (b byName) Choose(head []byte) (target model.HostPorts, enough bool, err error) {
	hello, err := sniff.Parse(head)
	if errors.Is(err, sniff.ErrIncomplete) {
		return model.HostPorts{}, false, nil
	}
	if err != nil {
		return model.HostPorts{}, true, fmt.Errorf("choose a server: %w", err)
	}
	target, ok := b.names.Lookup(hello.Name)
	if !ok {
		return model.HostPorts{}, true, noRouteError{hello.Name}
	}
	return target, true, nil
}

// noRouteError says that a name leads nowhere.
type noRouteError struct{ name string }

// Error is one line, whatever bytes the name has.
func (e noRouteError) Error() string {
	if e.name == "" {
		return "a client named no server, and there is no route '*'"
	}
	return fmt.Sprintf("a client asked for %.256q, and there is no route for that", e.name)
}

// refusal returns what a client is told that reaches no server, in its own
// protocol; nil if there is nothing to say.
func (b byName) refusal(head []byte, why error) []byte {
	hello, err := sniff.Parse(head)
	var noRoute noRouteError
	switch {
	case errors.Is(why, errHeadTooLong):
		return sniff.TooLong(hello)
	case errors.Is(why, os.ErrDeadlineExceeded) && errors.Is(err, sniff.ErrIncomplete):
		return sniff.TooLate(hello)
	case err != nil:
		return sniff.Unreadable(hello, err)
	case errors.As(why, &noRoute):
		return sniff.Unrouted(hello)
	}
	return sniff.Unreachable(hello)
}
