package dns

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

func (l *listener) serveTCP() {
	for {
		conn, err := l.sockets.tcp.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed) || l.ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return
		case err != nil: // no more files, for example
			l.pause()
			continue
		}
		client := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		if !l.mayAsk(client) {
			conn.Close()
			continue
		}
		var held *held
		if l.opened.Of(client.Addr()).Take(l.opens, time.Now()) {
			held = l.enter(l.connections, client.Addr(), func() { conn.Close() })
		}
		if held == nil {
			l.refuse()
			resetAtEnd(conn)
			conn.Close()
			continue
		}
		l.running.Go(func() {
			defer held.leave()
			l.serveConnection(conn, held)
		})
	}
}

func (l *listener) pause() {
	select {
	case <-l.ctx.Done():
	case <-time.After(acceptAgain):
	}
}

// stream is a client's connection. Its answers go out in the order in which
// they are ready (RFC 7766 section 6.2.1.1).
type stream struct {
	conn    *net.TCPConn
	writing sync.Mutex
	waiting sync.WaitGroup
}

// serveConnection answers query after query until the client ends it, is
// silent, or sends what is none.
func (l *listener) serveConnection(conn *net.TCPConn, held *held) {
	s := &stream{conn: conn}
	defer conn.Close()
	defer s.waiting.Wait() // a client may have closed its side alone
	defer context.AfterFunc(l.ctx, func() { conn.Close() })()
	for {
		if conn.SetReadDeadline(time.Now().Add(idleTime)) != nil {
			return
		}
		raw, err := receiveStream(conn)
		if err != nil || !l.handleMessage(s, raw) {
			return
		}
		held.used()
	}
}

// handleMessage reports whether the connection may go on.
func (l *listener) handleMessage(s *stream, raw []byte) bool {
	client := s.conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
	q, answer := l.answer(raw, client)
	switch {
	case answer != nil:
		return s.send(pack(answer, maxMessage))
	case q.raw == nil:
		return false
	}
	ctx, giveUp := context.WithCancel(l.ctx)
	held := l.enter(l.queries, client, giveUp)
	if held == nil {
		giveUp()
		l.refuse()
		return s.send(pack(q.tooMany(), maxMessage))
	}
	s.waiting.Go(func() {
		defer giveUp()
		defer held.leave()
		s.send(l.ask(ctx, &q, true, client))
	})
	return true
}

// send reports whether the client takes answers. One that does not is given up.
func (s *stream) send(raw []byte) bool {
	if raw == nil {
		return false
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.conn.SetWriteDeadline(time.Now().Add(idleTime))
	if err == nil {
		err = sendStream(s.conn, raw)
	}
	if err != nil {
		s.conn.Close()
	}
	return err == nil
}
