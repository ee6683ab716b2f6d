package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/hostnat/hostnat/internal/capture"
)

// captureFlags are what a capture is asked for beside its filter.
type captureFlags struct {
	options api.CaptureOptions
	file    string
	bpf     string
	rotate  byteSize
	files   int
}

func captureCommand(a *app) *cobra.Command {
	var f captureFlags
	cmd := &cobra.Command{
		Use: "capture [FILTER...]", Short: "Print packets with both sides of the NAT and what became of them, or write them to a file",
		Long: "Print packets until interrupted, one a line: as they came, as they went on, the verdict and why.\n" +
			"With -w they go to a pcapng file: a packet is two blocks there with one packet id, which Wireshark\n" +
			"calls frame.packet_id, and a comment. Dropped packets are among them.\n\n" +
			"  hostnat capture endpoint c1                     all of an endpoint's\n" +
			"  hostnat capture verdict dropped                 what is dropped, with the reason\n" +
			"  hostnat capture -w /tmp/c.pcapng tcp port 443   to a file\n" +
			"  hostnat capture -w - host 198.51.100.7 | tshark -r -\n\n" +
			"FILTER is of tcpdump's words host, net, port, portrange, src, dst, tcp, udp, icmp, arp, ip, ip6,\n" +
			"proto, less, greater, and, or, not; and of endpoint NAME, network NAME, session ADDRESS:PORT,\n" +
			"program NAME, verdict sent|left|dropped, reason NAME, flags syn,-ack. A condition holds if it\n" +
			"holds on either side of the NAT. While somebody captures, packets take longer.",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.options.Filter = strings.Join(args, " ")
			return a.capture(cmd, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "write", "w", "", "write a pcapng `FILE`; - is standard output")
	flags.IntVarP(&f.options.Count, "count", "c", 0, "end after so many packets")
	flags.IntVarP(&f.options.Length, "length", "s", 0, "keep so many `BYTES` of a packet at most (default all, as far as 65536)")
	flags.StringVar(&f.bpf, "bpf", "", "only what this program accepts too: a `FILE` of what tcpdump -ddd printed, for Ethernet")
	flags.Var(&f.rotate, "rotate", "with -w: begin another file, FILE-1, FILE-2 and so on, when one would be longer; like 100M")
	flags.IntVar(&f.files, "files", 0, "with --rotate: keep the latest so many files (default all)")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return capture.Words, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

func (f *captureFlags) check(cmd *cobra.Command) error {
	flags := cmd.Flags()
	switch {
	case flags.Changed("count") && f.options.Count < 1:
		return usagef(cmd, "--count %d is not a number of packets", f.options.Count)
	case flags.Changed("length") && (f.options.Length < 1 || f.options.Length > 1<<16):
		return usagef(cmd, "--length %d is not from 1 to 65536", f.options.Length)
	case f.rotate > 0 && (f.file == "" || f.file == "-"):
		return usagef(cmd, "--rotate needs -w FILE")
	case flags.Changed("files") && (f.rotate == 0 || f.files < 1):
		return usagef(cmd, "--files needs --rotate, and a number from 1 on")
	}
	return nil
}

// longestProgram is more than tcpdump -ddd prints for the longest filter.
const longestProgram = 1 << 18

func (a *app) capture(cmd *cobra.Command, f captureFlags) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	if _, err := capture.Parse(f.options.Filter); err != nil {
		return usagef(cmd, "%v", err)
	}
	if f.bpf != "" {
		text, err := readAtMost(f.bpf, longestProgram)
		if err != nil {
			return err
		}
		f.options.Program = text
	}
	if f.file == "" {
		return a.printPackets(cmd, f.options)
	}
	if f.file == "-" && a.Terminal {
		return usagef(cmd, "-w - would write a file to the terminal: redirect it")
	}
	packets, err := a.client().Capture(cmd.Context(), f.options)
	if err != nil {
		return err
	}
	defer packets.Close()
	a.sayCapturing()
	out := captureFiles{name: f.file, keep: f.files}
	if f.file != "-" {
		if _, err := out.next(); err != nil {
			return err
		}
	}
	copied, err := capture.Copy(packets, out.writer(a.Stdout), int64(f.rotate), out.next)
	ended := err == nil || errors.Is(err, capture.ErrBrokenOff) // the stream, by whomever
	switch {
	case !ended:
	case cmd.Context().Err() != nil || f.options.Count > 0 && copied.Packets >= uint64(f.options.Count): // as is usual
		err = nil
	default:
		err = &api.Error{Code: api.Unavailable, Message: fmt.Sprintf("the daemon ended the capture: %s has %d packets", f.file, copied.Packets), Hint: "its log says why; try again"}
	}
	if failure := out.close(); err == nil {
		err = failure
	}
	if !ended {
		err = notWhole(out.latest(f.file), err)
	}
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(a.Stderr, "%d packets, %d lost\n", copied.Packets, copied.Lost)
	return nil
}

// sayCapturing says that no packet is missed from now on.
func (a *app) sayCapturing() { _, _ = fmt.Fprintln(a.Stderr, "capturing; Ctrl-C ends it") }

func (a *app) printPackets(cmd *cobra.Command, o api.CaptureOptions) error {
	packets, err := a.client().Packets(cmd.Context(), o)
	if err != nil {
		return err
	}
	a.sayCapturing()
	count := 0
	for p := range packets {
		if p.Lost == 0 {
			count++
		}
		if a.format == formatTable {
			_, err = fmt.Fprintf(a.Stdout, "%s  %s\n", text.Time(p.Time), p.Short)
		} else {
			err = json.NewEncoder(a.Stdout).Encode(p)
		}
		if err != nil {
			return err
		}
	}
	if cmd.Context().Err() == nil && (o.Count == 0 || count < o.Count) {
		return &api.Error{Code: api.Unavailable, Message: "the daemon ended the capture"}
	}
	return nil
}

// captureFiles are the files of a capture: one, or with a number each.
type captureFiles struct {
	name   string
	keep   int // 0: all
	file   *os.File
	number int
	names  []string
}

// latest is the name of the file that is written, or was last.
func (c *captureFiles) latest(otherwise string) string {
	if len(c.names) == 0 {
		return otherwise
	}
	return c.names[len(c.names)-1]
}

func (c *captureFiles) writer(standard io.Writer) io.Writer {
	if c.file == nil {
		return standard
	}
	return c.file
}

// next ends one file and begins another. What packets carry is not for everybody.
func (c *captureFiles) next() (io.Writer, error) {
	if err := c.close(); err != nil {
		return nil, err
	}
	name := c.name
	if c.number > 0 {
		extension := filepath.Ext(name)
		name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, extension), c.number, extension)
	}
	c.number++
	file, err := createOutput(name)
	if err != nil {
		return nil, err
	}
	c.file, c.names = file, append(c.names, name)
	if c.keep > 0 && len(c.names) > c.keep {
		err = os.Remove(c.names[0])
		c.names = slices.Delete(c.names, 0, 1)
	}
	return file, err
}

func (c *captureFiles) close() error {
	if c.file == nil {
		return nil
	}
	err := c.file.Close()
	c.file = nil
	return err
}

func readAtMost(name string, most int64) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return string(text), err
}

// byteSize is a number of bytes, as a flag: 4096, 100k, 10M, 1G.
type byteSize int64

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return fmt.Sprint(int64(*b))
}

func (*byteSize) Type() string { return "SIZE" }

func (b *byteSize) Set(text string) error {
	const smallest = 1 << 20
	n, unit := int64(0), ""
	if _, err := fmt.Sscanf(text+" ", "%d%s", &n, &unit); n <= 0 || err != nil && unit != "" {
		return fmt.Errorf("%q is no size: use one like 100M", text)
	}
	factor, known := map[string]int64{"": 1, "k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[unit]
	if !known || n > 1<<20 && factor > 1 || n*factor < smallest {
		return fmt.Errorf("%q is no size from 1M on: use one like 100M", text)
	}
	*b = byteSize(n * factor)
	return nil
}

// createOutput opens a file to write to, for root alone. A FIFO that nobody reads is
// refused: who waits for a reader there could not be interrupted. So is a file that
// another one writes: each would write over the other's half.
func createOutput(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("nobody reads from %s; begin to read there first", path)
	}
	if err != nil {
		return nil, err
	}
	if err = claimOutput(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func claimOutput(file *os.File) error {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	// Some file systems have no locks: there it is nobody's.
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("another hostnat writes %s; name another file", file.Name())
	}
	return file.Truncate(0)
}
