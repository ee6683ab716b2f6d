package api

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Who finds the socket's queue full waits for a place in it.
func TestFullQueueIsWaitedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = syscall.Listen(fd, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	var waiting []net.Conn
	for err == nil {
		var c net.Conn
		if c, err = net.Dial("unix", path); err == nil {
			waiting = append(waiting, c)
		}
	}
	if !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("after %d connections: %v", len(waiting), err)
	}
	file := os.NewFile(uintptr(fd), path)
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"version":"here"}`)) })
	server := &http.Server{Handler: answer}
	t.Cleanup(func() {
		server.Close()
		for _, c := range waiting {
			c.Close()
		}
	})
	time.AfterFunc(50*time.Millisecond, func() { _ = server.Serve(l) })
	if v, err := NewClient(path).Version(t.Context()); err != nil || v.Version != "here" {
		t.Errorf("the answer is %+v, %v", v, err)
	}
}
