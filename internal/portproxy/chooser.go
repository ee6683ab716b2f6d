package portproxy

import "github.com/hostnat/hostnat/internal/model"

// maxHead is how much of what a client says a Chooser gets to see, in bytes.
const maxHead = 16 << 10

// Chooser says where a connection goes by what the client says first. It is a
// function of those bytes alone: reading them, and the time that a client has
// for it, are the engine's. Several connections use it at once.
type Chooser interface {
	// Choose gets all that the client has sent so far, at least one byte. If
	// that is not enough to tell, enough is false, and Choose is called again
	// with more. The bytes belong to the engine, which sends them on to the
	// server. With an error the client is reset; the error is the rule's last.
	Choose(head []byte) (target model.HostPorts, enough bool, err error)
}
