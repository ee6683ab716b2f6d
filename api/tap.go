package api

import (
	"context"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
)

// TAPSpec asks for a TAP that is plugged into a network for as long as somebody has it open.
type TAPSpec struct {
	Network  string `json:"network,omitempty"`  // or Bridge
	Bridge   string `json:"bridge,omitempty"`   // link name of the network's switch
	Endpoint string `json:"endpoint,omitempty"` // instead of these: the TAP that was made for it, which stays
	VNetHdr  bool   `json:"vnetHdr,omitempty"`  // frames have a virtio header (IFF_VNET_HDR)
}

// TAP is such a TAP. Its descriptor comes with the answer (SCM_RIGHTS of unix(7)).
type TAP struct {
	Network   string `json:"network"`
	Interface string `json:"interface"` // link on the host
}

// OpenTAP plugs a new TAP into a network. It is gone when the file, and what was made of
// it in other processes, is closed.
func (c *Client) OpenTAP(ctx context.Context, spec TAPSpec) (TAP, *os.File, error) {
	came := &cameAlong{}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := dialPatiently(ctx, c.socket)
		if u, is := conn.(*net.UnixConn); is {
			return alongConn{u, came}, err
		}
		return conn, err
	}}
	var t TAP
	other := &Client{socket: c.socket, http: &http.Client{Transport: transport}}
	err := other.call(ctx, http.MethodPost, "/v1/taps", spec, &t)
	file := came.take()
	if err == nil && file == nil {
		err = refuse(Internal, "", "the daemon's answer has no descriptor with it")
	}
	if err != nil && file != nil {
		file.Close()
		file = nil
	}
	return t, file, err
}

// cameAlong is the descriptor that came with an answer.
type cameAlong struct {
	mu   sync.Mutex
	file *os.File
}

func (c *cameAlong) take() *os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	file := c.file
	c.file = nil
	return file
}

// alongConn is a connection that keeps descriptors which come along.
type alongConn struct {
	*net.UnixConn
	came *cameAlong
}

func (c alongConn) Read(b []byte) (int, error) {
	control := make([]byte, syscall.CmsgSpace(4))
	n, length, _, _, err := c.ReadMsgUnix(b, control)
	messages, _ := syscall.ParseSocketControlMessage(control[:length])
	for _, m := range messages {
		descriptors, _ := syscall.ParseUnixRights(&m)
		for _, fd := range descriptors {
			c.came.keep(os.NewFile(uintptr(fd), "tap"))
		}
	}
	return n, err
}

// keep keeps the last one.
func (c *cameAlong) keep(file *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil {
		c.file.Close()
	}
	c.file = file
}
