package dns

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hostnat/hostnat/dev/lab"
)

// One endpoint floods the name server with questions, holds connections and has as
// many questions wait as it can. Another one's look-ups, inside and outside, are
// answered as if it were not there.
func TestNamesWhileAttacked(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	r.stub(func(q *dns.Msg, tcp bool) *dns.Msg {
		if strings.HasPrefix(q.Question[0].Name, "slow") {
			return nil
		}
		return says("192.0.2.1", 1)(q, tcp)
	})
	stop := make(chan struct{})
	defer close(stop)
	hostile := r.Endpoints[0]
	var conns []net.Conn
	for range 4 * clientConnections {
		if conn, err := hostile.Dial(t.Context(), "tcp", gateway+":53"); err == nil {
			conns = append(conns, conn)
		}
	}
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i, name := range []string{"slow.example.", "c1.web.internal."} {
		conn, err := hostile.Dial(t.Context(), "udp", gateway+":53")
		must(t, err)
		raw := wire(t, name, dns.TypeA)
		go func() {
			defer conn.Close()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				_, _ = conn.Write(raw)
				if i == 0 || n%64 == 0 { // a processor is left for others
					time.Sleep(time.Millisecond)
				}
			}
		}()
	}
	waitFor(t, "the attack", func() bool {
		return slices.ContainsFunc(r.server.Problems(), func(p string) bool { return strings.Contains(p, "network web has refused") })
	})
	var took []time.Duration
	for i := range 300 {
		for _, network := range []string{"udp", "tcp"} {
			start := time.Now()
			r.want("NOERROR A 172.16.1.2", r.ask(r.Endpoints[2], network, gateway, "c1.web.internal.", dns.TypeA))
			r.want("NOERROR A 192.0.2.1", r.ask(r.Endpoints[2], network, gateway, fmt.Sprintf("n%d.example.com.", i), dns.TypeA))
			took = append(took, time.Since(start)/2)
		}
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	t.Logf("p50 %s, p99 %s", p50, p99)
	if p99 > attackedBar && lab.AvailableCPU() > 1 {
		t.Errorf("look-ups take %s (p99) while another one attacks, at most %s are wanted", p99, attackedBar)
	}
}

// attackedBar is how long a look-up may take then, p99, on a machine that may be busy
// with other tests. Alone it is 10 ms.
const attackedBar = 500 * time.Millisecond
