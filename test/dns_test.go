package test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hostnat/hostnat/dev/lab"
)

// dnsServer ends both halves of a name server.
type dnsServer []*dns.Server

// Close ends it.
func (s dnsServer) Close() error {
	for _, half := range s {
		_ = half.Shutdown() // an error: it has ended
	}
	return nil
}

// resolver starts a DNS server by UDP and TCP and has the host ask it.
func (m *machine) resolver(name, address string) error {
	packets, err := m.ns(name).ListenPacket("udp", address+":53")
	if err != nil {
		return err
	}
	stream, err := m.ns(name).Listen("tcp", address+":53")
	if err != nil {
		packets.Close()
		return err
	}
	handler := dns.HandlerFunc(answerExample)
	server := dnsServer{{PacketConn: packets, Handler: handler}, {Listener: stream, Handler: handler}}
	for _, half := range server {
		ready := make(chan struct{})
		half.NotifyStartedFunc = func() { close(ready) }
		go func() { _ = half.ActivateAndServe() }()
		<-ready
	}
	m.servers = append(m.servers, server)
	if m.resolvers == nil {
		m.resolvers = map[string]dnsServer{}
	}
	m.resolvers[name] = server
	return os.WriteFile(m.resolvConf(), []byte("nameserver "+address+"\n"), 0o644)
}

// noResolver ends one.
func (m *machine) noResolver(name string) error { return m.resolvers[name].Close() }

// exampleRecords are all that there is to be asked for.
var exampleRecords = map[string][]string{
	"example.com.":      {"example.com. 60 IN A 192.0.2.1"},
	"shop.example.com.": {"shop.example.com. 60 IN CNAME edge.example.net.", "edge.example.net. 60 IN A 203.0.113.2"},
}

// answerExample answers with the addresses in exampleRecords, and that no other name exists.
func answerExample(w dns.ResponseWriter, q *dns.Msg) {
	reply := new(dns.Msg).SetReply(q)
	records, known := exampleRecords[strings.ToLower(q.Question[0].Name)]
	if !known {
		reply.Rcode = dns.RcodeNameError
	}
	for _, record := range records {
		rr, err := dns.NewRR(record)
		if err == nil && q.Question[0].Qtype == dns.TypeA {
			reply.Answer = append(reply.Answer, rr)
		}
	}
	_ = w.WriteMsg(reply)
}

func lookUpCommand(m *machine, ts *testscript.TestScript, args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("look-up NS NETWORK SERVER NAME TYPE")
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.patience)
	defer cancel()
	conn, err := m.ns(args[0]).Dial(ctx, args[1], args[2]+":53")
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &dns.Conn{Conn: conn}
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if err := c.WriteMsg(new(dns.Msg).SetQuestion(dns.Fqdn(args[3]), dns.StringToType[args[4]])); err != nil {
		return err
	}
	reply, err := c.ReadMsg()
	if err != nil {
		return err
	}
	fmt.Fprintln(ts.Stdout(), inWords(reply))
	return nil
}

// inWords is the records' data, or why there are none.
func inWords(m *dns.Msg) string {
	if m.Rcode != dns.RcodeSuccess {
		return dns.RcodeToString[m.Rcode]
	}
	if len(m.Answer) == 0 {
		return "none"
	}
	var words []string
	for _, rr := range m.Answer {
		words = append(words, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(words, " ")
}

// noProblem waits until status has no problem.
func (m *machine) noProblem() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var problems []string
	err := lab.WaitFor(ctx, func() bool {
		status, err := m.client().Status(ctx)
		problems = status.Problems
		return err == nil && len(problems) == 0
	})
	if err != nil {
		return fmt.Errorf("problems are %q", problems)
	}
	return nil
}
