// Package ipfix writes the messages by which a NAT tells a collector what it does:
// IPFIX (RFC 7011) with the records of RFC 8158, as far as hostnat has such events.
// Values alone: who sends them, and when, is internal/export's matter.
package ipfix
