// Package lab builds small networks out of network namespaces on one machine,
// with real sockets, programs and packet captures in them. Tests, the demo and
// the benchmarks use it; it knows nothing of hostnat.
//
// Everything needs root. Names are unique for each process, so that tests may
// run side by side, and Close removes what was made and nothing else.
package lab
