package dns

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/tokens"
)

// An endpoint connects and closes as fast as it can. It is refused after a while, and its
// neighbour has answers by TCP.
func TestHastyConnections(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	r.server.Configure(t.Context(), config.Config{})
	r.server.opens = tokens.Rate{PerSecond: 50, Burst: 100} // a busy machine does not open a thousand a second
	r.configure()
	stop := make(chan struct{})
	defer close(stop)
	for range 4 {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if conn, err := r.Endpoints[0].Dial(t.Context(), "tcp", gateway+":53"); err == nil {
					conn.Close()
				}
			}
		}()
	}
	waitFor(t, "an endpoint to be refused", func() bool { return r.server.Refusals()["web"] > 100 })
	for range 20 {
		r.want("NOERROR A 172.16.1.2", r.ask(r.Endpoints[2], "tcp", gateway, "c1.web.internal.", dns.TypeA))
	}
	if list := r.server.Problems(); len(list) != 1 || !strings.Contains(list[0], "network web has refused") {
		t.Errorf("problems: %q", list)
	}
}

// Answers that are too long for UDP come from the resolver by TCP. A question leaves none of the
// host's ports taken: there are more questions than ports.
func TestManyLongAnswers(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	const long = 300
	r.stub(says("192.0.2.1", long))
	must(t, r.Host.Sysctl("net/ipv4/ip_local_port_range", "40000 40063"))
	for i := range 200 {
		got := r.ask(r.Endpoints[2], "tcp", gateway, "long.example.com.", dns.TypeA)
		if n := strings.Count(got, " A "); n != long {
			t.Fatalf("question %d: %d addresses, %.100s", i, n, got)
		}
	}
}
