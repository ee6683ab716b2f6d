package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/hostnat/hostnat/internal/capture"
)

// recently is how far back explain looks if it is not told.
const recently = "1h"

func explainCommand(a *app) *cobra.Command {
	asked := new(explainRequest)
	cmd := &cobra.Command{
		Use: "explain (PROTOCOL FROM TO | [ENDPOINT] [--since TIME] | --pcap FILE)", Short: "Say what would become of a packet, or what failed lately and why",
		Long: "With PROTOCOL FROM TO: say what would become of the first packet of a flow: where it comes in,\n" +
			"how it is translated, where it goes, or why not and which command would change that. The data\n" +
			"path's own programs decide it with the tables as they are, and nothing is changed or sent.\n\n" +
			"  hostnat explain tcp c1 93.184.216.34:443                  from an endpoint\n" +
			"  hostnat explain tcp 198.51.100.7:5555 203.0.113.1:8080    from outside\n" +
			"  hostnat explain icmp c1 c2                                between endpoints\n\n" +
			"With --probe it is also tried how large packets get to the remote, which finds a link with a\n" +
			"smaller MTU: connections open, and large transfers hang. It sends some dozens of packets there.\n\n" +
			"  hostnat explain tcp c1 93.184.216.34:443 --probe\n\n" +
			"With --pcap FILE: say it of the packets in a file that 'hostnat capture -w', tcpdump or Wireshark\n" +
			"has written, each for itself, with the tables as they are now. - is standard input.\n\n" +
			"FROM and TO are NAME[:PORT] or ADDRESS[:PORT]; TO's port is needed for tcp and udp.\n\n" +
			"With an ENDPOINT, with --since or with filters: say what failed since then: packets that were\n" +
			"dropped, connections that nobody answered, sessions that were cut. The kernel records this\n" +
			"all the time, also while no daemon runs.\n\n" +
			"  hostnat explain c1                                        of an endpoint, in the last hour\n" +
			"  hostnat explain --since 03:10                             of everybody\n" +
			"  hostnat explain --since 10m --remote 93.184.216.34        with a remote\n\n" +
			"TIME is 03:10, 2026-11-30 03:10, 10m (ago), or as of RFC 3339.",
		Args: optional("PROTOCOL", "FROM", "TO"), ValidArgsFunction: a.arguments(packetProtocols, endpointNames, endpointNames),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.explain(cmd, args, asked) }
	cmd.Flags().StringVar(&asked.spec.At, "at", "", "the packet comes in at this endpoint, network or link of the host (default where FROM belongs)")
	a.completeFlagFrom(cmd, "at", endpointNames)
	cmd.Flags().StringVar(&asked.file, "pcap", "", "what would become of the packets in this `FILE`, pcap or pcapng")
	cmd.Flags().IntVarP(&asked.count, "count", "c", 100, "with --pcap: of its first `N` packets")
	cmd.Flags().BoolVar(&asked.spec.Probe, "probe", false, "send packets to the remote, to find out how large they may be")
	cmd.Flags().StringVar(&asked.since, "since", recently, "what failed since this `TIME`")
	addFilters(a, cmd, &asked.filter)
	addSessionFilters(cmd, &asked.filter)
	return cmd
}

// explainRequest is what a command line asks for.
type explainRequest struct {
	spec   api.ExplainSpec
	file   string // of packets
	count  int    // how many of these
	since  string
	filter api.Filter // of what has happened
}

func (a *app) explain(cmd *cobra.Command, args []string, asked *explainRequest) error {
	flags := cmd.Flags()
	switch {
	case flags.Changed("pcap") && (len(args) > 0 || flags.Changed("since") || asked.spec.Probe || asked.filter != api.Filter{}):
		return usagef(cmd, "--pcap FILE goes with --at and --count alone")
	case flags.Changed("pcap") && (asked.count < 1 || asked.count > mostExplained):
		return usagef(cmd, "--count %d is not from 1 to %d", asked.count, mostExplained)
	case flags.Changed("pcap"):
		return a.explainFile(cmd.Context(), asked.file, asked.spec.At, asked.count)
	case flags.Changed("count"):
		return usagef(cmd, "--count is for a file of packets: give --pcap FILE")
	case len(args) == 3 && (flags.Changed("since") || asked.filter != api.Filter{}):
		return usagef(cmd, "--since and filters are for what has happened; PROTOCOL FROM TO asks what would")
	case len(args) == 3:
		asked.spec.Protocol, asked.spec.From, asked.spec.To = args[0], args[1], args[2]
		return a.explainPacket(cmd.Context(), asked.spec)
	case asked.spec.Probe:
		return usagef(cmd, "--probe is for a packet: give PROTOCOL FROM TO")
	case flags.Changed("at"):
		return usagef(cmd, "--at is for a packet: give PROTOCOL FROM TO")
	case len(args) == 2 && args[0] != "endpoint":
		return usagef(cmd, "TO is missing")
	case len(args) > 0 && asked.filter.Endpoint != "":
		return usagef(cmd, "unexpected argument %q: --endpoint is given", args[len(args)-1])
	case len(args) > 0:
		asked.filter.Endpoint = args[len(args)-1]
	case !flags.Changed("since") && asked.filter == api.Filter{}:
		return usagef(cmd, "PROTOCOL is missing; to see what failed, give an ENDPOINT or --since TIME")
	}
	at, err := parseSince(asked.since, time.Now())
	if err != nil {
		return usagef(cmd, "%v", err)
	}
	return a.explainHistory(cmd.Context(), at, asked.filter)
}

func (a *app) explainPacket(ctx context.Context, spec api.ExplainSpec) error {
	e, err := a.client().Explain(ctx, spec)
	if err != nil {
		return err
	}
	if a.format != formatTable {
		return a.print(e)
	}
	return printExplanation(a.Stdout, e)
}

func (a *app) explainHistory(ctx context.Context, since time.Time, filter api.Filter) error {
	h, err := a.client().History(ctx, since, filter)
	if err != nil {
		return err
	}
	if a.format != formatTable {
		return a.print(h)
	}
	printHistory(a.Stdout, h)
	return nil
}

// parseSince reads a time that has passed: a duration before now, a time of the day,
// the last such, or a date and time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		t, err := time.ParseInLocation(layout, text, now.Location())
		if err != nil {
			continue
		}
		t = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location())
		if t.After(now) {
			t = time.Date(now.Year(), now.Month(), now.Day()-1, t.Hour(), t.Minute(), t.Second(), 0, now.Location())
		}
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", time.RFC3339Nano} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil && !t.After(now) {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since %q is not a time that has passed; write 10m, 03:10 or \"2026-11-30 03:10\"", text)
}

func printExplanation(w io.Writer, e api.Explanation) error {
	t := text.NewTable(w)
	for _, s := range e.Steps {
		t.Row(s.Step, s.Found)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", e.Summary)
	if e.Meaning != "" {
		fmt.Fprintln(w, e.Meaning)
	}
	for _, r := range e.Remedies {
		fmt.Fprintf(w, "\n%s:\n    %s\n", r.Object, r.Command)
	}
	return nil
}

func printHistory(w io.Writer, h api.History) {
	const indent = "          "
	for _, f := range h.Failures {
		fmt.Fprintf(w, "%s  %s: %s\n", f.Last.Local().Format(time.TimeOnly), failureText(f), f.What)
		if f.Meaning != "" {
			fmt.Fprintf(w, "%s%s\n", indent, f.Meaning)
		}
		for _, r := range f.Remedies {
			fmt.Fprintf(w, "%s%s:\n%s    %s\n", indent, r.Object, indent, r.Command)
		}
	}
	since := h.Since.Local().Format(time.DateTime)
	closed := 0
	for _, s := range h.Ended {
		if s.Outcome == api.OutcomeClosed {
			closed++
		}
	}
	switch {
	case len(h.Failures) > 0:
		fmt.Fprintf(w, "\nSince %s; %s ended as they should.\n", since, countText(uint64(closed), "session"))
	default:
		fmt.Fprintf(w, "Nothing failed since %s that hostnat has seen; %s ended as they should.\n", since, countText(uint64(closed), "session"))
	}
}

// failureText is "12 packets dropped, no-route", or "5 sessions unanswered".
func failureText(f api.Failure) string {
	times := ""
	if f.Count > 1 && f.Last.Sub(f.First) >= time.Second {
		times = " since " + f.First.Local().Format(time.TimeOnly)
	}
	if f.Outcome == api.OutcomeDropped {
		return fmt.Sprintf("%s dropped, %s%s", countText(f.Count, "packet"), f.Reason, times)
	}
	how := f.Outcome
	switch f.Outcome {
	case api.OutcomeChanged:
		how = "ended by a change of configuration"
	case api.OutcomeByHand:
		how = "ended by hand"
	case api.OutcomeAddressLost, api.OutcomeRouteChanged, api.OutcomeNoMemory:
		how = "ended, " + f.Outcome
	case api.OutcomeIdle:
		how = "idle for too long"
	}
	return fmt.Sprintf("%s %s%s", countText(f.Count, "session"), how, times)
}

func countText(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func packetProtocols(context.Context, *api.Client) []string { return []string{"tcp", "udp", "icmp"} }

// mostExplained is how many packets of a file one command asks about at most.
const mostExplained = 100_000

// filePacket is a packet of a file, and what would become of it.
type filePacket struct {
	Number int    `json:"number"` // 1: the first of the file
	Packet string `json:"packet"`
	api.ExplainedPacket
}

// explainFile says what would become of a file's first packets.
func (a *app) explainFile(ctx context.Context, path, at string, count int) error {
	file, err := openInput(path)
	if err != nil {
		return err
	}
	defer file.Close()
	in, err := capture.NewInput(file)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	all := []filePacket{}
	for number := 1; err == nil && number <= count; {
		var some []filePacket
		some, err = a.explainSome(ctx, in, at, number, min(api.MaxExplained, count-number+1))
		number += len(some)
		if a.format != formatTable {
			all = append(all, some...)
			continue
		}
		for _, p := range some {
			fmt.Fprintln(a.Stdout, p.line())
		}
	}
	if a.format != formatTable && (err == nil || errors.Is(err, io.EOF)) {
		return a.print(all)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if _, err := in.Next(); err == nil {
		fmt.Fprintf(a.Stdout, "There are more than %d packets; --count has more of them.\n", count)
	}
	return nil
}

// explainSome reads up to so many packets, and asks about them; the error is the
// file's, io.EOF at its end.
func (a *app) explainSome(ctx context.Context, in *capture.Input, at string, number, most int) ([]filePacket, error) {
	var packets []filePacket
	var asked []int
	var specs []api.ExplainSpec
	var end error
	for len(packets) < most {
		h, err := in.Next()
		if err != nil {
			end = err
			break
		}
		p := filePacket{Number: number + len(packets), Packet: h.Text()}
		if spec, why := specOf(h, at); why != "" {
			p.Problem = why
		} else {
			asked, specs = append(asked, len(packets)), append(specs, spec)
		}
		packets = append(packets, p)
	}
	if len(specs) == 0 {
		return packets, end
	}
	explained, err := a.client().ExplainPackets(ctx, specs)
	if err != nil {
		return nil, err
	}
	for i, e := range explained {
		packets[asked[i]].ExplainedPacket = e
	}
	return packets, end
}

// specOf makes the question that a packet is, or says why it is none.
func specOf(h capture.Headers, at string) (spec api.ExplainSpec, why string) {
	const ipv4, echoRequest = 0x0800, 8
	name := map[uint8]string{1: "icmp", 6: "tcp", 17: "udp"}[h.Protocol]
	switch {
	case h.EtherType != ipv4 || !h.From.IsValid() || name == "":
		return spec, "not tried: it is not TCP, UDP or ICMP over IPv4"
	case name == "icmp" && (!h.HasICMP || h.ICMPType != echoRequest):
		return spec, "not tried: of ICMP, echo requests are"
	case name != "icmp" && !h.HasPorts:
		return spec, "not tried: it has no ports, being a later fragment or cut off"
	}
	spec = api.ExplainSpec{Protocol: name, From: netip.AddrPortFrom(h.From, h.FromPort).String(), To: netip.AddrPortFrom(h.To, h.ToPort).String(), At: at, TCPFlags: h.TCPFlags}
	if name == "icmp" {
		spec.From, spec.To = netip.AddrPortFrom(h.From, max(h.ICMPID, 1)).String(), h.To.String()
	}
	return spec, ""
}

func (p filePacket) line() string {
	if p.Explanation == nil {
		return fmt.Sprintf("%d  %s  %s", p.Number, p.Packet, p.Problem)
	}
	return fmt.Sprintf("%d  %s  %s", p.Number, p.Packet, p.Explanation.Summary)
}

// openInput opens what is a file: a FIFO would wait, and a folder says something else.
func openInput(path string) (*os.File, error) {
	if path == "-" {
		return os.Stdin, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file; - is standard input", path)
	}
	return os.Open(path)
}
