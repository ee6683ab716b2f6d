//go:build e2e

package e2e

import (
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/hostnat/hostnat/dev/lab"
)

// startResolver runs the host's resolver on the remote: it knows big.example,
// with more text than goes by UDP, and what is in addresses.
func startResolver(t *testing.T, n *lab.Namespace, addresses map[string]string) {
	t.Helper()
	packets, err := n.ListenPacket("udp", lab.RemoteAddress+":53")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := n.Listen("tcp", lab.RemoteAddress+":53")
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { answer(w, q, addresses) })
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: stream, Handler: handler}} {
		ready := make(chan struct{})
		server.NotifyStartedFunc = func() { close(ready) }
		go func() { _ = server.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = server.Shutdown() })
	}
}

func answer(w dns.ResponseWriter, q *dns.Msg, addresses map[string]string) {
	name := strings.ToLower(q.Question[0].Name)
	reply := new(dns.Msg).SetReply(q)
	head := dns.RR_Header{Name: q.Question[0].Name, Class: dns.ClassINET, Ttl: 60, Rrtype: q.Question[0].Qtype}
	switch a, known := addresses[name]; {
	case name == "big.example." && head.Rrtype == dns.TypeTXT:
		for range 20 {
			reply.Answer = append(reply.Answer, &dns.TXT{Hdr: head, Txt: []string{strings.Repeat("x", 200)}})
		}
	case known && head.Rrtype == dns.TypeA:
		reply.Answer = []dns.RR{&dns.A{Hdr: head, A: net.ParseIP(a)}}
	case !known:
		reply.Rcode = dns.RcodeNameError
	}
	if o := q.IsEdns0(); o != nil {
		reply.SetEdns0(1232, o.Do())
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		reply.Truncate(size)
	}
	_ = w.WriteMsg(reply)
}

// TestDig asks with dig what a person would.
func TestDig(t *testing.T) {
	t.Parallel()
	dig := need(t, "dig")
	h := startHost(t, 2)
	startResolver(t, h.Remote, map[string]string{"www.example.": "192.0.2.80"})
	h.attach("c1", "--netns", h.Endpoints[0].Name, "--alias", "db")
	h.attach("c2", "--netns", h.Endpoints[1].Name)
	tests := []struct {
		name string
		args string
		want []string // in what dig prints
	}{
		{"an endpoint", "c2 A", []string{"status: NOERROR", "c2.\t\t\t5\tIN\tA\t172.16.1.3", "flags: qr aa rd ra"}},
		{"by TCP", "+tcp c2.web.internal A", []string{"status: NOERROR", "172.16.1.3", "(TCP)"}},
		{"an alias", "db.web.internal A", []string{"172.16.1.2"}},
		{"no IPv6", "c2 AAAA", []string{"status: NOERROR", "ANSWER: 0", "SOA\thost.internal."}},
		{"reverse", "-x 172.16.1.3", []string{"PTR\tc2.web.internal."}},
		{"the host", "host.internal A", []string{"172.16.1.1"}},
		{"nobody", "nobody.web.internal A", []string{"status: NXDOMAIN", "SOA\thost.internal."}},
		{"the outside", "www.example A", []string{"status: NOERROR", "192.0.2.80"}},
		{"the outside by TCP", "+tcp www.example A", []string{"192.0.2.80", "(TCP)"}},
		{"nothing outside", "nobody.example A", []string{"status: NXDOMAIN"}},
		{"too long for UDP", "+ignore big.example TXT", []string{"flags: qr tc rd", "status: NOERROR"}},
		{"by TCP after that", "big.example TXT", []string{"Truncated, retrying in TCP mode", "ANSWER: 20"}},
		{"EDNS and DNSSEC", "+dnssec +bufsize=4096 www.example A", []string{"flags: do; udp: 1232", "192.0.2.80"}},
		{"a later EDNS", "+edns=7 +noednsnegotiation c2 A", []string{"status: BADVERS"}},
		{"any type", "c2 ANY +notcp", []string{`HINFO	"RFC8482" ""`}},
		{"a zone transfer", "web.internal AXFR", []string{"Transfer failed"}},
		{"a status request", "+opcode=STATUS c2 A", []string{"status: NOTIMP"}},
		{"no question", "+header-only c2", []string{"status: FORMERR"}},
		{"another class", "version.bind TXT CH", []string{"status: REFUSED"}},
		{"a private domain", "x.home.arpa A", []string{"status: NXDOMAIN"}},
		{"another's private address", "-x 10.9.8.7", []string{"status: NXDOMAIN"}},
		{"localhost", "localhost A", []string{"127.0.0.1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{dig, "@172.16.1.1", "+tries=2", "+time=2"}, strings.Fields(test.args)...)
			out, err := h.Endpoints[0].Command(t.Context(), args...).CombinedOutput()
			for _, want := range test.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("dig %s, %v: no %q in:\n%s", test.args, err, want, out)
				}
			}
		})
	}
}
