package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hostnat/hostnat/internal/server"
)

// lookForSocket is how often the socket's path and the pins are looked at.
const lookForSocket = time.Second

// socket is the API's listener. It is made again when somebody has removed it:
// connections that stand go on meanwhile.
type socket struct {
	path  string
	conns chan net.Conn
	done  chan struct{}
	close sync.Once

	mu   sync.Mutex
	now  *net.UnixListener
	file os.FileInfo // of now
}

func newSocket(path string) (*socket, error) {
	s := &socket{path: path, conns: make(chan net.Conn), done: make(chan struct{})}
	return s, s.listen()
}

// listen makes the socket, and takes connections from there from now on.
func (s *socket) listen() error {
	l, err := server.Listen(s.path)
	if err != nil {
		return err
	}
	file, err := os.Lstat(s.path)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.mu.Lock()
	before := s.now
	s.now, s.file = l, file
	s.mu.Unlock()
	if before != nil {
		before.SetUnlinkOnClose(false) // what is at the path is the new one
		before.Close()
	}
	go s.accept(l)
	return nil
}

func (s *socket) accept(l *net.UnixListener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of files, say
			time.Sleep(10 * time.Millisecond)
			continue
		}
		select {
		case s.conns <- c:
		case <-s.done:
			c.Close()
		}
	}
}

// Accept implements net.Listener.
func (s *socket) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It removes the socket, if it is still ours.
func (s *socket) Close() error {
	s.close.Do(func() { close(s.done) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.SetUnlinkOnClose(s.inPlace())
	if err := s.now.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Addr implements net.Listener.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// inPlace reports whether what is at the path is our socket. The caller holds mu.
func (s *socket) inPlace() bool {
	file, err := os.Lstat(s.path)
	return err == nil && os.SameFile(file, s.file)
}

// isLost reports whether somebody has removed or replaced the socket.
func (s *socket) isLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.inPlace()
}

// keep makes the socket again when it is gone, and ticks when the pins are, until
// ctx ends.
func (s *socket) keep(ctx context.Context, arePinned func() bool, lost chan<- struct{}, log *slog.Logger) error {
	look := time.NewTicker(lookForSocket)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
		if s.isLost() {
			if err := s.listen(); err != nil {
				log.Warn("the API socket was removed and cannot be made again", "error", err)
			} else {
				log.Warn("the API socket was removed: it was made again", "socket", s.path)
			}
		}
		if !arePinned() {
			select {
			case lost <- struct{}{}:
			default: // one waits
			}
		}
	}
}
