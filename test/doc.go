// Package test holds the tests of the whole daemon as a process of its own:
// what it must survive, and what it must not leave behind. They need root and
// no other program.
package test
