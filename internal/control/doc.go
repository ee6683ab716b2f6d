// Package control holds hostnat's operations: what the API offers, without
// HTTP. Each change is checked (package nat), stored (package store) and made
// true in the kernel (a Kernel), or undone as a whole.
package control
