// Package capture is what a capture needs to know of packets: which of them a filter
// selects, how a file has them, and what is said of one in a line.
package capture
