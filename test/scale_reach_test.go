package test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/dev/lab"
)

// scaleServer is where TestScale's endpoints ask who they are.
const scaleServer = lab.RemoteAddress + ":7"

// reachOutside has each endpoint ask a server outside. Each must get the answer to
// its own question: the one that the kernel's session of this endpoint has. What
// has equal addresses, or networks that are not open to each other, does not meet.
func (h *host) reachOutside(count int) {
	h.t.Helper()
	seen := make([]netip.AddrPort, count)
	h.each(count, func(ctx context.Context, i int) (err error) {
		return askAgain(ctx, func(ctx context.Context) error {
			seen[i], err = lab.Ask(ctx, h.many[i], "udp", scaleServer)
			return err
		})
	})
	sessions, err := h.Sessions(h.t.Context(), api.Filter{Protocol: "udp", Remote: scaleServer})
	if err != nil {
		h.t.Fatal(err)
	}
	whose := make(map[netip.AddrPort]string)
	for _, s := range sessions {
		whose[s.External] = s.Endpoint
	}
	for i, external := range seen {
		if name := fmt.Sprintf("n%d", i); whose[external] != name {
			h.t.Errorf("%s is seen from outside as %s, which is %q", name, external, whose[external])
		}
	}
	h.keepApart(count)
}

// keepApart has each endpoint ask some others, which answer nobody from another
// network. To each of those asked, the host itself shows that it would answer.
func (h *host) keepApart(count int) {
	h.t.Helper()
	views, err := h.Client.Endpoints(h.t.Context(), "")
	if err != nil {
		h.t.Fatal(err)
	}
	address := make(map[string]netip.Addr)
	for _, v := range views {
		address[v.Name] = v.Addresses[0]
	}
	server, asked := h.many[0], netip.AddrPortFrom(address["n0"], 7)
	echo, err := lab.EchoServer(server, "udp", "0.0.0.0:7")
	if err != nil {
		h.t.Fatal(err)
	}
	defer echo.Close()
	if asked.Addr() == address["n1"] {
		return // all have this address: each would ask itself
	}
	h.each(1, func(ctx context.Context, _ int) error {
		return askAgain(ctx, func(ctx context.Context) error {
			_, err := lab.Ask(ctx, h.Host, "udp", asked.String())
			return err
		})
	})
	h.each(min(count-1, 50), func(ctx context.Context, i int) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if seen, err := lab.Ask(ctx, h.many[i+1], "udp", asked.String()); err == nil {
			return fmt.Errorf("it reaches n0, which sees it as %s", seen)
		}
		return nil
	})
}

// each runs do for endpoints 0 to count-1, some at a time.
func (h *host) each(count int, do func(ctx context.Context, i int) error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Minute)
	defer cancel()
	var running sync.WaitGroup
	places := make(chan struct{}, 20)
	for i := range count {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			if err := do(ctx, i); err != nil {
				h.t.Errorf("n%d: %v", i, err)
			}
		})
	}
	running.Wait()
}

// askAgain repeats a question that UDP may have lost.
func askAgain(ctx context.Context, ask func(context.Context) error) error {
	for {
		once, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := ask(once)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}
