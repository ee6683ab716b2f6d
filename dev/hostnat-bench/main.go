// Command hostnat-bench measures hostnat against nftables and plain routing, in
// network namespaces of its own. It is what `make bench` runs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/bench"
)

// The exit codes: done; something failed, or with -bars a bar was not met;
// wrong usage.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// flags is the command line.
type flags struct {
	bench.Options
	output string
	bars   bool
}

var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	if err == nil {
		err = f.run(ctx, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "hostnat-bench: %v\n", err)
		return exitFailed
	}
	return exitDone
}

func parse(args []string, stderr io.Writer) (*flags, error) {
	f := &flags{Options: bench.Options{Progress: stderr}}
	set := flag.NewFlagSet("hostnat-bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&f.Program, "hostnat", "bin/hostnat", "the hostnat `program`")
	set.StringVar(&f.output, "o", "table", "how to print: table or json")
	set.BoolVar(&f.bars, "bars", false, "print the project's bars, and fail if one is not met")
	set.IntVar(&f.Rounds, "rounds", 7, "how often each figure is taken")
	set.BoolVar(&f.Full, "full", false, "the long rows too: many sessions, new bindings, memory")
	set.IntVar(&f.Sessions, "sessions", 100_000, "with -full: how many sessions the longest row has present")
	set.StringVar(&f.Against, "against", "", "another hostnat `program`, measured in the same run as the contender 'before'")
	contenders := set.String("contenders", "", "who takes part (hostnat,nftables,routing; with -against hostnat,before)")
	rows := set.String("rows", "", "only rows that match this `regexp`")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, errUsage // set has printed it
	}
	if *contenders == "" {
		*contenders = "hostnat,nftables,routing"
		if f.Against != "" {
			*contenders = "hostnat,before"
		}
	}
	f.Contenders = strings.Split(*contenders, ",")
	var err error
	f.Rows, err = regexp.Compile(*rows)
	if err == nil {
		err = f.check(set.NArg())
	}
	if err != nil {
		fmt.Fprintf(stderr, "hostnat-bench: %v\n", err)
		return nil, errUsage
	}
	return f, nil
}

func (f *flags) check(arguments int) error {
	switch {
	case arguments > 0:
		return errors.New("takes flags alone")
	case f.Rounds < 1:
		return fmt.Errorf("-rounds %d: at least 1", f.Rounds)
	case f.output != "table" && f.output != "json":
		return fmt.Errorf("-o %q: table or json", f.output)
	}
	return nil
}

func (f *flags) run(ctx context.Context, stdout io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root to make network namespaces; use sudo")
	}
	reports, err := f.measure(ctx)
	for _, report := range reports {
		if err := f.print(stdout, report); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if f.bars && slices.ContainsFunc(reports, func(r *bench.Report) bool { return !r.Met() }) {
		return errors.New("a bar is not met")
	}
	return nil
}

// measure returns the main table, if it has rows that are wanted, and the others.
func (f *flags) measure(ctx context.Context) (reports []*bench.Report, err error) {
	main, mainErr := bench.Run(ctx, f.Options)
	if mainErr == nil {
		reports = append(reports, main)
	} else if !errors.Is(mainErr, bench.ErrNoRows) {
		return nil, mainErr
	}
	sections, err := bench.Sections(ctx, f.Options)
	if reports = append(reports, sections...); len(reports) == 0 {
		err = errors.Join(mainErr, err)
	}
	return reports, err
}

func (f *flags) print(w io.Writer, report *bench.Report) error {
	if f.output == "json" {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(report)
	}
	if err := report.WriteTable(w); err != nil || !f.bars {
		return err
	}
	return report.WriteBars(w)
}
