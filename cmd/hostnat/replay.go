package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/capture"
	"github.com/hostnat/hostnat/internal/recording"
	"github.com/hostnat/hostnat/internal/replay"
)

func recordCommand(a *app) *cobra.Command {
	var o api.RecordOptions
	cmd := &cobra.Command{
		Use: "record FILE|- [FILTER...]", Short: "Write a bug report that replays: configuration, tables and packets",
		Long: "Write what hostnat was told, what its tables hold, what the host's links and routes are, and the\n" +
			"packets from now on with what became of each, until interrupted. 'hostnat replay' runs that again\n" +
			"on another machine.\n\n" +
			"  hostnat record /tmp/bug.hnr                              until Ctrl-C\n" +
			"  hostnat record /tmp/bug.hnr --seconds 30                 for half a minute\n" +
			"  hostnat record /tmp/bug.hnr --packets 100 endpoint c1    what c1 sends and gets\n" +
			"  hostnat record - > /tmp/bug.hnr                          to standard output\n\n" +
			"The file has addresses, names, and the first 128 bytes of each packet: send it to people whom you\n" +
			"would show these. FILTER is as of 'hostnat capture'; what it leaves out is not run again, though it\n" +
			"may have changed what the others found. While somebody records, packets take longer.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "FILE is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Filter = strings.Join(args[1:], " ")
			return a.record(cmd, args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Seconds, "seconds", 0, "end after `N` seconds")
	flags.IntVar(&o.Count, "packets", 0, "end after `N` packets")
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return capture.Words, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// lastPackets is how long after an interrupt packets are waited for that came before it.
const lastPackets = 500 * time.Millisecond

func (a *app) record(cmd *cobra.Command, name string, o api.RecordOptions) (err error) {
	flags := cmd.Flags()
	if flags.Changed("seconds") && o.Seconds < 1 || flags.Changed("packets") && o.Count < 1 {
		return usagef(cmd, "--seconds and --packets need a number from 1 on")
	}
	if _, err := capture.Parse(o.Filter); err != nil {
		return usagef(cmd, "%v", err)
	}
	if name == standard && a.Terminal {
		return usagef(cmd, "record - would write a file to the terminal: redirect it")
	}
	// What was seen before the interrupt is still on its way.
	ctx, stop := context.WithCancel(context.WithoutCancel(cmd.Context()))
	defer stop()
	defer context.AfterFunc(cmd.Context(), func() { time.AfterFunc(lastPackets, stop) })()
	lines, err := a.client().Record(ctx, o)
	if err != nil {
		return err
	}
	defer lines.Close()
	file, err := a.recordingFile(name)
	if err != nil {
		return err
	}
	packed := gzip.NewWriter(file)
	c := copiedRecording{app: a, to: packed}
	switch err = c.copy(lines); {
	case errors.Is(err, errBrokenOff):
		err = c.brokenOff(name, cmd.Context().Err() != nil)
	case err != nil:
		err = notWhole(name, err)
	}
	for _, end := range []io.Closer{packed, file} {
		if failure := end.Close(); err == nil && failure != nil { // a full disk says so at each of them
			err = notWhole(name, failure)
		}
	}
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(a.Stderr, "%d packets in %s\n", c.packets, name)
	return nil
}

// notWhole says which file the failure was about, and that it has not all.
func notWhole(name string, err error) error {
	return fmt.Errorf("%w; %s is not whole", err, name)
}

// standard is standard output in the place of a file's name.
const standard = "-"

// recordingFile is what a recording is written to. What it has is not for everybody.
func (a *app) recordingFile(name string) (io.WriteCloser, error) {
	if name == standard {
		return unclosed{a.Stdout}, nil
	}
	return createOutput(name)
}

// unclosed is a writer that others write to afterwards.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

// errBrokenOff: the daemon's lines end before the recording does.
var errBrokenOff = errors.New("the stream has broken off")

// copiedRecording is a recording on its way into a file.
type copiedRecording struct {
	*app
	to      *gzip.Writer
	begun   bool // the tables are there
	packets int
}

// copy copies lines, and says when the packets begin.
func (c *copiedRecording) copy(from io.Reader) error {
	in := bufio.NewReaderSize(from, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil { // a part of a line is none
			return errBrokenOff
		}
		if _, err := c.to.Write(line); err != nil {
			return fmt.Errorf("writing the recording: %w", err)
		}
		switch {
		case bytes.HasPrefix(line, []byte(recording.ReadyPrefix)):
			if err := c.to.Flush(); err != nil { // who is killed leaves a file that can be read
				return fmt.Errorf("writing the recording: %w", err)
			}
			c.begun = true
			_, _ = fmt.Fprintln(c.Stderr, "recording; Ctrl-C ends it")
		case bytes.HasPrefix(line, []byte(recording.PacketPrefix)):
			c.packets++
		case bytes.HasPrefix(line, []byte(recording.EndPrefix)):
			return nil
		}
	}
}

// brokenOff ends the file of a recording that was interrupted, as is usual, and says so of
// one that the daemon did not go on with.
func (c *copiedRecording) brokenOff(name string, interrupted bool) error {
	switch {
	case interrupted && !c.begun:
		return &api.Error{Code: api.Unavailable, Message: "interrupted before the tables had been read: " + name + " is of no use"}
	case interrupted:
		if err := json.NewEncoder(c.to).Encode(recording.Line{End: &recording.End{Packets: c.packets, Interrupted: true}}); err != nil {
			return notWhole(name, err)
		}
		return nil
	}
	has := fmt.Sprintf("%s has %d packets, and no end", name, c.packets)
	if !c.begun {
		has = name + " is of no use"
	}
	return &api.Error{Code: api.Unavailable, Message: "the daemon has broken off the recording: " + has, Hint: "its log says why; try again"}
}

func replayCommand(a *app) *cobra.Command {
	var smaller, packets string
	cmd := &cobra.Command{
		Use: "replay FILE", Short: "Run a recording again, and show the first packet that is not as recorded",
		Long: "Run the packets of a recording ('hostnat record') through the data path's programs again, with tables\n" +
			"of their own that hold what was recorded, and through the model of the NAT that hostnat's tests go by.\n" +
			"Shows the first packet of which recording, programs and model do not say the same; exits with 1 then.\n\n" +
			"  hostnat replay bug.hnr\n" +
			"  hostnat replay bug.hnr --shrink small.hnr     what is left if nothing may be left out\n" +
			"  hostnat replay bug.hnr --write bug.pcapng     the packets for Wireshark\n\n" +
			"Needs root and the version of hostnat that recorded it, but no daemon. A network namespace with the\n" +
			"recorded links and routes is made for it, and goes away. Nothing of this host is touched.",
		Args: positional("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.replay(cmd.Context(), args[0], smaller, packets)
		},
	}
	cmd.Flags().StringVar(&smaller, "shrink", "", "leave out packets and sessions as long as the difference stays, and write the rest to `FILE`")
	cmd.Flags().StringVarP(&packets, "write", "w", "", "write the recorded packets to a pcapng `FILE`, and run nothing")
	cmd.MarkFlagsMutuallyExclusive("shrink", "write")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return cmd
}

// replay ends at once when it is interrupted: what it has made is its own, and goes with it.
func (a *app) replay(ctx context.Context, name, smaller, packets string) error {
	r, err := readRecording(name)
	if err != nil {
		return err
	}
	if packets != "" {
		out, err := newResult(packets)
		if err != nil {
			return err
		}
		defer out.discard()
		return out.write(func(to io.Writer) error { return replay.WritePackets(to, r) })
	}
	if err := a.needRoot("hostnat replay"); err != nil {
		return err
	}
	var out *result
	if smaller != "" {
		if out, err = newResult(smaller); err != nil { // before the runs, of which there may be thousands
			return err
		}
		defer out.discard()
	}
	replay.Introduce(a.Stdout, r)
	report, small, err := runRecording(ctx, r, out != nil)
	if err != nil {
		return err
	}
	if out != nil {
		if err := out.write(small.Write); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(a.Stdout, "%s has %d of %d packets and %d of %d rows of tables\n", smaller, len(small.Packets), len(r.Packets), small.CountRows(), r.CountRows())
		r = small
	}
	report.Say(a.Stdout, r)
	if d := report.Difference; d != nil {
		return &api.Error{Code: api.Conflict, Message: fmt.Sprintf("packet %d of %d is not as %s", d.At+1, len(r.Packets),
			map[string]string{replay.ByPrograms: "recorded", replay.ByModel: "the model has it"}[d.By])}
	}
	return nil
}

func readRecording(name string) (*recording.Recording, error) {
	file, err := openInput(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, err := recording.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// runRecording runs it on another goroutine, so that an interrupt need not wait for the kernel.
func runRecording(ctx context.Context, r *recording.Recording, shrink bool) (report *replay.Report, small *recording.Recording, err error) {
	done := make(chan func(), 1)
	go func() {
		var some *recording.Recording
		var found *replay.Report
		var failure error
		if shrink {
			some, found, failure = replay.Shrink(r)
		} else {
			found, failure = replay.Run(r)
		}
		done <- func() { report, small, err = found, some, failure }
	}()
	select {
	case take := <-done:
		take()
		return report, small, err
	case <-ctx.Done():
		return nil, nil, &api.Error{Code: api.Unavailable, Message: "interrupted; nothing is left of the replay"}
	}
}

// result is a file that is there whole, or as it was before.
type result struct {
	file  *os.File
	path  string
	draft string // what is renamed in the end; empty: it is no regular file, and written at once
}

// newResult finds out whether the file can be written, and changes none yet.
func newResult(path string) (*result, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		file, err := createOutput(path)
		return &result{file: file, path: path}, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			at.Path = path
		}
		return nil, err
	}
	return &result{file, path, file.Name()}, nil
}

// write writes all of it.
func (r *result) write(content func(io.Writer) error) error {
	err := content(r.file)
	if closed := r.file.Close(); err == nil {
		err = closed
	}
	if err == nil && r.draft != "" {
		if err = os.Rename(r.draft, r.path); err == nil {
			r.draft = ""
		}
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", r.path, err)
	}
	return nil
}

// discard leaves nothing of it, unless it was written.
func (r *result) discard() {
	_ = r.file.Close()
	if r.draft != "" {
		_ = os.Remove(r.draft)
	}
}
