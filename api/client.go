package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// DefaultSocket is where the daemon listens unless it is told otherwise.
const DefaultSocket = "/run/hostnat/hostnat.sock"

// maxErrorBody is far more than any refusal needs, in bytes.
const maxErrorBody = 1 << 20

// Client asks a daemon over its socket. Refusals come back as the *Error that
// the daemon sent. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of the daemon that listens at socket.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return dialPatiently(ctx, socket) }
	// A connection for each request: connecting costs next to nothing here, and
	// none is left half-open when the daemon is replaced.
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	return &Client{socket: socket, http: &http.Client{Transport: transport}}
}

// How a Client waits for a place in the queue of a socket on which others connect without
// pause: the kernel does not wait for it (connect(2), EAGAIN).
const (
	queueTime  = 5 * time.Second
	queuePause = 2 * time.Millisecond
)

func dialPatiently(ctx context.Context, socket string) (net.Conn, error) {
	begin := time.Now()
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if !errors.Is(err, syscall.EAGAIN) || time.Since(begin) > queueTime {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(queuePause):
		}
	}
}

// notRunningError is the refusal of a client that finds no daemon.
type notRunningError struct{ refusal *Error }

func (e notRunningError) Error() string { return e.refusal.Error() }
func (e notRunningError) Unwrap() error { return e.refusal }

// NotRunning reports whether err means that no daemon listens at the socket.
func NotRunning(err error) bool {
	var e notRunningError
	return errors.As(err, &e)
}

// call sends in (nil: no body) and reads the answer into out (nil: none).
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the daemon's answer to %s %s: %w", method, path, err)
	}
	return nil
}

// one calls an operation on one named thing.
func (c *Client) one(ctx context.Context, method, prefix, name, suffix string, in, out any) error {
	path, err := at(prefix, name)
	if err != nil {
		return err
	}
	return c.call(ctx, method, path+suffix, in, out)
}

// at puts names into a path: at("/v1/nats/", "a") is "/v1/nats/a". A name that
// would change the path's meaning is refused here, as it cannot exist.
func at(prefix string, name string) (string, error) {
	if name == "" || name == "." || name == ".." {
		return "", refuse(Invalid, "", "%q is not a name", name)
	}
	return prefix + url.PathEscape(name), nil
}

func encodeQuery(values url.Values) string {
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// send returns a successful response, whose body the caller closes.
func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the request %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://hostnat"+path, body)
	if err != nil {
		return nil, fmt.Errorf("make the request %s %s: %w", method, path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, refusalIn(resp)
	}
	return resp, nil
}

// explain turns a failed exchange into something to act on.
func (c *Client) explain(ctx context.Context, err error) error {
	const start = "start it with: hostnat daemon"
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		return notRunningError{refuse(Unavailable, start, "hostnat daemon is not running (no socket at %s)", c.socket)}
	case errors.Is(err, syscall.ECONNREFUSED):
		return notRunningError{refuse(Unavailable, start, "hostnat daemon is not running (nobody answers at %s)", c.socket)}
	case errors.Is(err, fs.ErrPermission):
		return refuse(Denied, "", "the socket %s may not be opened by this user", c.socket)
	}
	return refuse(Unavailable, "", "the daemon at %s did not answer: %v", c.socket, errors.Unwrap(err))
}

// refusalIn reads the error body of an answer.
func refusalIn(resp *http.Response) error {
	var body ErrorBody
	err := json.NewDecoder(io.LimitReader(resp.Body, maxErrorBody)).Decode(&body)
	if err != nil || body.Error.Message == "" {
		return refuse(Internal, "", "the daemon answered %s without saying why", resp.Status)
	}
	return &body.Error
}
