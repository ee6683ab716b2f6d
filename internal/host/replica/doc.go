// Package replica notes what a host looks like to the data path, and makes a network
// namespace that looks the same to it: links with the same numbers, their addresses, the
// routes, the rules and who listens. Nothing is connected there.
package replica
