// Package dns is the name server on each network's gateway. It answers for the
// names of endpoints by itself (Zone, a value made of the configuration) and
// passes everything else to the host's own resolvers, as a proxy in the sense of
// RFC 5625: it changes nothing in queries and answers but their identifiers.
package dns
