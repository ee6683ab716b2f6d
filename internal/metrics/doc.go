// Package metrics writes hostnat's numbers in Prometheus's text format. What each
// one is, docs/metrics.md lists.
package metrics
