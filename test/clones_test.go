package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// clone is one of many machines that differ in nothing.
type clone struct {
	number int
	inside *lab.Namespace
}

const (
	cloneMAC   = "02:00:00:00:00:77"
	clonePort  = 40000   // from which each of them talks
	cloneBytes = 1 << 18 // that each downloads
	cloneTime  = time.Minute
)

func (c clone) name() string { return fmt.Sprintf("clone%d", c.number) }

// TestClones has 100 clones of one machine (HOSTNAT_SCALE: so many), with one
// MAC and one address, download from one server at the same time, from the same
// port, through one external address; and has each reached by a mapping of its
// own. Each gets what is its own, before and after the daemon was killed.
func TestClones(t *testing.T) {
	lab.RequireRoot(t)
	count := 100
	if n, err := strconv.Atoi(os.Getenv(scaleVariable)); err == nil {
		count = n
	}
	h := startHost(t)
	if _, err := h.CreateNetwork(t.Context(), api.NetworkSpec{Name: "snap", Subnets: []string{"172.16.1.0/24"}, Type: string(model.TypePerEndpoint)}); err != nil {
		t.Fatal(err)
	}
	clones := h.addClones(count)
	server := h.serveDownloads(h.Remote, "203.0.113.2:7100")
	for round, where := range []string{"at first", "after the daemon was killed"} {
		if round > 0 {
			h.end(syscall.SIGKILL)
			began := time.Now()
			h.start()
			t.Logf("a daemon that takes over is ready after %v", time.Since(began).Round(time.Millisecond))
		}
		began := time.Now()
		h.downloadAtOnce(clones, server)
		t.Logf("%s: %d clones have %d KiB each after %v", where, count, cloneBytes>>10, time.Since(began).Round(time.Millisecond))
		h.askEach(clones)
	}
	sessions, err := h.Sessions(t.Context(), api.Filter{Network: "snap", Remote: "203.0.113.2:7100"})
	if err != nil {
		t.Fatal(err)
	}
	of := make(map[string]bool)
	for _, s := range sessions {
		of[s.Endpoint] = true
		if s.Internal != netip.AddrPortFrom(netip.MustParseAddr("172.16.1.2"), clonePort) || s.Compartment != "snap/"+s.Endpoint {
			t.Errorf("session %+v", s)
		}
	}
	if len(of) != count {
		t.Errorf("%d clones have a session, want %d", len(of), count)
	}
}

func (h *host) addClones(count int) (clones []clone) {
	h.t.Helper()
	began := time.Now()
	for i := range count {
		inside, err := lab.NewNamespace("clone")
		if err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() { inside.Close() })
		clones = append(clones, clone{i, inside})
	}
	h.t.Logf("%d namespaces after %v", count, time.Since(began).Round(time.Millisecond))
	var times []time.Duration
	for _, c := range clones {
		start := time.Now()
		if _, err := h.AttachEndpoint(h.t.Context(), api.EndpointSpec{Network: "snap", Name: c.name(), Netns: c.inside.Name, MAC: cloneMAC}); err != nil {
			h.t.Fatal(err)
		}
		times = append(times, time.Since(start))
		_, err := h.AddMapping(h.t.Context(), api.MappingSpec{Protocol: "tcp", External: strconv.Itoa(20000 + c.number), Internal: c.name() + ":80"})
		if err != nil {
			h.t.Fatal(err)
		}
		h.nameItself(c)
	}
	h.t.Logf("attached: first %v, last %v, median %v; the daemon has %d MB", times[0], times[count-1], median(times), h.memory())
	return clones
}

// nameItself has a clone answer on its port 80 with its number.
func (h *host) nameItself(c clone) {
	h.t.Helper()
	l, err := c.inside.Listen("tcp", "172.16.1.2:80")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l.Close() })
	go serve(l, func(conn net.Conn) { fmt.Fprint(conn, c.name()) })
}

func serve(l net.Listener, answer func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			answer(conn)
		}()
	}
}

// serveDownloads sends whoever names a number what is that number's.
func (h *host) serveDownloads(n *lab.Namespace, at string) string {
	h.t.Helper()
	l, err := n.Listen("tcp", at)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l.Close() })
	go serve(l, func(conn net.Conn) {
		if remote := conn.RemoteAddr().(*net.TCPAddr).AddrPort(); remote.Addr() != netip.MustParseAddr("203.0.113.1") {
			h.t.Errorf("a clone is seen as %v", remote)
		}
		var number uint64
		if err := binary.Read(conn, binary.BigEndian, &number); err == nil {
			_, _ = conn.Write(content(number))
		}
	})
	return at
}

// content is what belongs to a number.
func content(number uint64) []byte {
	data := make([]byte, cloneBytes)
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], number)
	_, _ = rand.NewChaCha8(seed).Read(data)
	return data
}

// downloadAtOnce has all clones connect, and then download.
func (h *host) downloadAtOnce(clones []clone, server string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), cloneTime)
	defer cancel()
	conns, errs := make([]net.Conn, len(clones)), make([]error, len(clones))
	each(clones, func(i int, c clone) {
		conns[i], errs[i] = c.inside.DialFrom(ctx, "tcp", fmt.Sprintf("172.16.1.2:%d", clonePort), server)
	})
	if err := errors.Join(errs...); err != nil {
		h.showLog()
		h.t.Fatal(err)
	}
	each(clones, func(i int, c clone) { errs[i] = download(conns[i], uint64(c.number)) })
	if err := errors.Join(errs...); err != nil {
		h.t.Fatal(err)
	}
}

// download takes the whole of it, and ends the connection so that its port can
// be used again at once.
func download(conn net.Conn, number uint64) error {
	defer conn.Close()
	if err := errors.Join(conn.SetDeadline(time.Now().Add(cloneTime)), conn.(*net.TCPConn).SetLinger(0)); err != nil {
		return err
	}
	if err := binary.Write(conn, binary.BigEndian, number); err != nil {
		return err
	}
	data, err := io.ReadAll(conn)
	if err == nil && !bytes.Equal(data, content(number)) {
		err = errors.New("it is somebody else's, or damaged")
	}
	if err != nil {
		return fmt.Errorf("download of clone %d: %w", number, err)
	}
	return nil
}

// askEach asks each clone who it is, by its mapping.
func (h *host) askEach(clones []clone) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), cloneTime)
	defer cancel()
	errs := make([]error, len(clones))
	each(clones, func(i int, c clone) {
		conn, err := h.Remote.Dial(ctx, "tcp", fmt.Sprintf("203.0.113.1:%d", 20000+c.number))
		if err != nil {
			errs[i] = err
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(cloneTime))
		answer, err := io.ReadAll(conn)
		if err == nil && string(answer) != c.name() {
			err = fmt.Errorf("the mapping of %s leads to %q", c.name(), answer)
		}
		errs[i] = err
	})
	if err := errors.Join(errs...); err != nil {
		h.t.Fatal(err)
	}
}

func each(clones []clone, do func(i int, c clone)) {
	var running sync.WaitGroup
	for i, c := range clones {
		running.Go(func() { do(i, c) })
	}
	running.Wait()
}
