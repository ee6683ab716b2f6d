// Package names remembers by which DNS names endpoints asked for remotes: from the
// answers that they were given, and from nothing else. It is pure: the time is an
// argument.
package names
