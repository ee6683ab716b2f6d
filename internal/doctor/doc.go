// Package doctor says what is wrong with a host from hostnat's point of view,
// why it matters, and what fixes it. A check is a pure function of Facts, which
// package host gathers without changing anything; docs/doctor.md has a section
// for each.
package doctor
