// Package export sends what happens to sessions and bindings to collectors: by IPFIX
// (internal/ipfix) and as syslog messages (internal/syslog). Nobody waits for a collector:
// what there is no room for is lost, counted, and told to the collector when it is back.
package export
