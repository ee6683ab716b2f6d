// Package nat holds hostnat's words as Go values: networks, endpoints, NATs,
// static mappings, bindings and sessions, and the rules that say which of them
// are valid together.
//
// It is the innermost package: it imports nothing else of hostnat, does no IO
// and never asks for the time. Addresses are netip values (so byte order is
// not a question here); ports are host-order numbers.
package nat
