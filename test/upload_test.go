package test

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// uploaded is more than fits into a few packets, and less than a socket's buffer.
const uploaded = 20000

// upload opens a connection to an Echo server and sends it a lot at once; without to, it
// waits until all of it came back.
func (m *machine) upload(name string, to []string) error {
	message := bytes.Repeat([]byte("0123456789"), uploaded/10)
	conn, open := m.talks[name]
	if !open {
		if err := m.talk(name, to); err != nil {
			return err
		}
		_, err := m.talks[name].Write(message)
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(m.patience)); err != nil {
		return err
	}
	back := make([]byte, len(message))
	if n, err := io.ReadFull(conn, back); err != nil {
		return fmt.Errorf("%d bytes came back: %w", n, err)
	}
	if !bytes.Equal(back, message) {
		return fmt.Errorf("other bytes came back")
	}
	return nil
}
