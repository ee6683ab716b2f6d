// Package wire has what tests put on links and take from them: packets made by
// hand, captures that hold every packet against the rules that hold always, TAP and
// TUN devices, sockets.
package wire
