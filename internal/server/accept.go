package server

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/hostnat/hostnat/api"
)

// limited is a listener that hands on the connections that may be, and says to
// the others why they may not.
type limited struct {
	net.Listener
	connections *connections
	peerOf      func(net.Conn) (peer, error)
}

// Accept waits for the next connection that may be.
func (l limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p, err := l.peerOf(conn)
		if err != nil { // gone already
			_ = conn.Close()
			continue
		}
		c := &connection{Conn: conn, peer: p, trusted: p.trusted(), of: l.connections}
		if l.connections.admit(c, time.Now()) {
			return c, nil
		}
		refuseConnection(conn)
	}
}

// refuseConnection answers before there was a question. What does not fit into the
// socket's buffer is not waited for.
func refuseConnection(conn net.Conn) {
	body, _ := json.Marshal(api.ErrorBody{Error: api.Error{
		Code: api.Unavailable, Message: "the daemon has as many connections of this user as it takes", Hint: "close some, or try again later",
	}})
	_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable), len(body), body)
	_ = conn.Close()
}
