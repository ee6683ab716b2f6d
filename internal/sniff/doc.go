// Package sniff finds out which server a client asks for, from the first bytes
// it sends: the server name of a TLS ClientHello (RFC 6066, section 3), or the
// host of an HTTP/1 request (RFC 9112, section 3.2). TLS is not ended, nothing
// is consumed: what was read is handed back, for the server to get it first.
// It also writes what a client that cannot be served is told, in its protocol.
package sniff
