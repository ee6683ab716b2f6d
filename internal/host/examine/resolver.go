package examine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hostnat/hostnat/internal/regular"
)

// resolverTime is how long a resolver may take to answer.
const resolverTime = 1500 * time.Millisecond

// maxResolvConf is how long a resolv.conf(5) may be, in bytes.
const maxResolvConf = 64 << 10

// Resolver is one that the host asks for names.
type Resolver struct {
	Address netip.Addr
	Failure string // empty: it answers
}

// AskResolvers asks each resolver of a resolv.conf(5), all at once, for the
// root's name servers, which every one knows. Any answer will do.
func AskResolvers(ctx context.Context, file string) []Resolver {
	text, err := regular.ReadAnyones(file, maxResolvConf)
	if err != nil {
		return nil
	}
	var list []Resolver
	for _, a := range nameservers(string(text)) {
		list = append(list, Resolver{Address: a})
	}
	var asked sync.WaitGroup
	for i := range list {
		asked.Go(func() {
			if err := askRoot(ctx, list[i].Address); err != nil {
				list[i].Failure = err.Error()
			}
		})
	}
	asked.Wait()
	return list
}

// nameservers reads resolv.conf(5).
func nameservers(text string) []netip.Addr {
	var list []netip.Addr
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			list = append(list, a)
		}
	}
	return list
}

// rootQuestion is a query (RFC 1035 section 4.1) for the root's NS records,
// recursion desired.
var rootQuestion = []byte{0x68, 0x6e, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1}

func askRoot(ctx context.Context, resolver netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, resolverTime)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", netip.AddrPortFrom(resolver, 53).String())
	if err != nil {
		return plain(err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write(rootQuestion); err != nil {
		return plain(err)
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no answer within %v", resolverTime)
	}
	if err != nil {
		return plain(err)
	}
	if n < 12 || answer[0] != rootQuestion[0] || answer[1] != rootQuestion[1] {
		return errors.New("what answers is no name server")
	}
	return nil
}

// plain is the error without the addresses that package net puts around it.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
