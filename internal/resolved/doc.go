// Package resolved tells systemd-resolved, where the host has it, which names
// hostnat's name servers know, so that the host's own programs find them. Each
// network's bridge gets its gateway as name server, for the network's domains and
// for nothing else: what is asked outside stays the host's own business.
//
// The interface is org.freedesktop.resolve1(5), over the system's D-Bus. A host
// without it is left alone.
package resolved
