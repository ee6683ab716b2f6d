// Package replay runs a recording again: each packet through the programs, with tables
// that hold what the recorded data path's held, and through the model, which says what the
// RFCs ask for. It finds the first packet that is not as recorded, and makes the recording
// smaller as long as it still has that.
package replay
