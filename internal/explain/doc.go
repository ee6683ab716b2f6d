// Package explain says in words what becomes of a packet: it reads the question,
// has the data path try the packet (package datapath, by way of a function), and
// says what the answer means and which command would change it. It does no IO of
// its own.
package explain
