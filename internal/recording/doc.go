// Package recording is a file of what a data path did: what it was told, what its tables
// held, what the host looked like to it, and the packets that it saw from then on, with
// what became of each. 'hostnat record' writes it, and package replay runs it again
// elsewhere.
//
// A file is gzip of lines, each a JSON object of one field (Line). Begin is the first,
// the beginning ends with Ready, then packets come, and End is the last. A reader knows
// versions up to its own.
package recording
