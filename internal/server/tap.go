package server

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/control"
)

func tapRoutes() []route {
	return []route{{method: http.MethodPost, path: "/v1/taps", in: api.TAPSpec{}, out: api.TAP{}, handle: openTAP}}
}

// openTAP answers with a descriptor beside the answer: on the connection itself, since
// package http has no place for it.
func openTAP(s *Server, w http.ResponseWriter, r *http.Request) error {
	var in api.TAPSpec
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	tap, file, err := s.service.OpenTAP(finishing(r), control.TAPSpec{Network: in.Network, Bridge: in.Bridge, Endpoint: in.Endpoint, VNetHdr: in.VNetHdr})
	if err != nil {
		return err
	}
	defer file.Close() // the client has one of its own by then
	body, err := json.Marshal(api.TAP{Network: tap.Network, Interface: tap.Interface})
	if err != nil {
		return err
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("answer with a descriptor: %w", err)
	}
	defer conn.Close()
	if err := sendAlong(conn, body, file); err != nil {
		s.log.Warn("a TAP was opened for a client that went away", "interface", tap.Interface, "error", err)
	}
	return nil
}

func sendAlong(conn net.Conn, body []byte, file *os.File) error {
	c, ours := conn.(*connection)
	if !ours {
		return fmt.Errorf("a %T carries no descriptors", conn)
	}
	u, is := c.Conn.(*net.UnixConn)
	if !is {
		return fmt.Errorf("a %T carries no descriptors", c.Conn)
	}
	answer := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		http.StatusCreated, http.StatusText(http.StatusCreated), len(body), body)
	_ = u.SetWriteDeadline(time.Now().Add(answerTime))
	n, _, err := u.WriteMsgUnix(answer, unix.UnixRights(int(file.Fd())), nil)
	if err == nil && n < len(answer) {
		_, err = u.Write(answer[n:])
	}
	return err
}
