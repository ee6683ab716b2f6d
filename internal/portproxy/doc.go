// Package portproxy relays connections and datagrams at the socket level: what
// a mapping cannot do (IPv4 to IPv6 and back, targets that are no endpoints,
// many servers on one port by name).
//
// A few event loops, each with an epoll set, carry all TCP connections and UDP
// sessions; there is no goroutine for each. TCP data goes from socket to socket
// through a pipe by splice(2), and is never copied through user space. A
// connection holds a pipe only while the receiver does not take what the sender
// has sent.
package portproxy
