// Package event holds what the data path tells whoever watches: bindings and
// sessions that begin, change and end, ports that run out, packets dropped for
// a reason. Numbers and terms are those of Windows NAT's ETW provider, so that
// what is known about reading its traces holds here too.
//
// Everything here is a value; the data path makes events, the API carries them.
package event
