package test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
)

// TestLargeSegments sends through links that take segments of more than 64 KiB, whose
// IPv4 header has no length. They stay right on their way, the sizes follow a port
// that takes less, and what was the host's is put back.
func TestLargeSegments(t *testing.T) {
	lab.RequireRoot(t)
	const usual, large = 65536, 192<<10 - 8
	top := lab.StartTopology(t, 1)
	if size := segmentOf(t, top.Host, lab.HostLink); size != usual {
		t.Skipf("the outside link takes segments of %d bytes: this kernel does not know the size for IPv4 (before 6.3)", size)
	}
	t.Run("while it runs", func(t *testing.T) {
		h := startOn(t, top)
		check := func(want uint32) {
			t.Helper()
			h.waitFor(20*time.Second, "the sizes of segments to follow", func() bool { return segmentOf(t, h.inside, "eth0") == want })
		}
		check(large)
		if size := segmentOf(t, h.Host, lab.HostLink); size != large {
			t.Errorf("the outside link takes segments of %d bytes, want %d", size, large)
		}
		h.sendLargely()
		if err := errors.Join(h.Host.AddTAP("tap9"), h.Host.Enslave("tap9", "hn-web")); err != nil {
			t.Fatal(err)
		}
		check(usual)
		if err := h.Host.DeleteLink("tap9"); err != nil {
			t.Fatal(err)
		}
		check(large)
	})
	if size := segmentOf(t, top.Host, lab.HostLink); size != usual {
		t.Errorf("after down the outside link takes segments of %d bytes, want %d", size, usual)
	}
}

func segmentOf(t *testing.T, n *lab.Namespace, link string) uint32 {
	t.Helper()
	attrs, err := n.Link(link)
	if err != nil {
		t.Fatal(err)
	}
	return attrs.GSOIPv4MaxSize
}

// sendLargely uploads from the endpoint, and looks at what comes out.
func (h *host) sendLargely() {
	h.t.Helper()
	l, err := h.Remote.Listen("tcp", lab.RemoteAddress+":90")
	if err != nil {
		h.t.Fatal(err)
	}
	defer l.Close()
	tap, err := lab.Capture(h.Remote, lab.RemoteLink)
	if err != nil {
		h.t.Fatal(err)
	}
	type seen struct {
		longest int
		wrong   error
	}
	result := make(chan seen, 1)
	go func() {
		var s seen
		for p := range tap.Packets() {
			s.longest = max(s.longest, len(p.Data))
			s.wrong = errors.Join(s.wrong, tap.Verify(p))
		}
		result <- s
	}()
	const number, copies = 7, 256
	failed := make(chan error, 1)
	go func() { failed <- receiveCopies(l, number, copies) }()
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	conn, err := h.inside.Dial(ctx, "tcp", l.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	data := content(number)
	for range copies {
		if _, err := conn.Write(data); err != nil {
			h.t.Fatal(err)
		}
	}
	conn.Close()
	if err := <-failed; err != nil {
		h.t.Error(err)
	}
	if err := tap.Close(); err != nil {
		h.t.Error(err)
	}
	if s := <-result; s.longest <= 65550 || s.wrong != nil {
		h.t.Errorf("the longest packet has %d bytes, want more than 64 KiB; %v", s.longest, s.wrong)
	}
}

// receiveCopies takes one connection, and compares what comes.
func receiveCopies(l net.Listener, number uint64, copies int) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	want, got := content(number), make([]byte, len(content(number)))
	for range copies {
		if _, err := io.ReadFull(conn, got); err != nil {
			return err
		}
		if string(want) != string(got) {
			return errors.New("what was sent is damaged")
		}
	}
	return nil
}
