// Package rerun reads a data path's tables for a recording, and runs recorded packets
// through the same programs once more: with tables of their own that hold the recorded
// rows, a clock that shows the packets' time, and attached to nothing.
package rerun
