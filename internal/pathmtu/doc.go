// Package pathmtu finds how large packets get to a remote: it sends some of different
// sizes that may not be fragmented (RFC 1191, RFC 4821), and says which were answered,
// which were refused by an ICMP error, and above which size they vanish.
package pathmtu
