// Package dptest has rigs for tests: topologies of namespaces whose host runs the
// data path.
package dptest
