// Package traffic says how fast sessions and endpoints send, from two readings of the
// kernel's tables: pure functions, and a Meter that keeps the last reading.
package traffic
