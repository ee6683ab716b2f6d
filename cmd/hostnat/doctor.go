package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/daemon"
)

// errFaulty makes the exit code 1 when everything was said already.
var errFaulty = errors.New("something is wrong")

func doctorCommand(a *app) *cobra.Command {
	var options daemon.Options
	var fix bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong with the host, and how to fix it", Args: positional(),
		Long: "Look for what is wrong with the host from hostnat's point of view, why it matters, and the command that fixes it.\n" +
			"Works without a daemon too. The exit code is 0 if nothing is wrong (notes do not count), 1 if something is.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := a.client().Doctor(cmd.Context(), fix)
			if api.NotRunning(err) {
				found, err = a.examine(cmd, options, fix)
			}
			if err != nil {
				return err
			}
			return a.printFindings(found, fix)
		},
	}
	cmd.Flags().BoolVar(&fix, "fix", false, "do what is safe to do, and say what was done")
	cmd.Flags().StringVar(&options.StateDir, "state-dir", defaultStateDir, "where the configuration is kept, if no daemon runs")
	cmd.Flags().StringVar(&options.RunDir, "run-dir", defaultRunDir, "where the socket is made, if no daemon runs")
	return cmd
}

// examine is done by this process, as no daemon runs.
func (a *app) examine(cmd *cobra.Command, options daemon.Options, fix bool) ([]api.Finding, error) {
	if fix {
		if err := a.needRoot("hostnat doctor --fix, without a running daemon,"); err != nil {
			return nil, err
		}
	}
	return daemon.Doctor(cmd.Context(), options, fix), nil
}

func (a *app) printFindings(found []api.Finding, fix bool) error {
	var err error
	if a.format != formatTable {
		err = a.print(append([]api.Finding{}, found...))
	} else {
		err = findingsPrinter{w: a.Stdout, colour: a.Terminal && a.Getenv("NO_COLOR") == ""}.print(found, fix)
	}
	if err == nil && slices.ContainsFunc(found, api.Finding.Faulty) {
		return errFaulty
	}
	return err
}

// findingsPrinter writes findings for people.
type findingsPrinter struct {
	w      io.Writer
	colour bool
}

// escapes are the colours of severities (ECMA-48 SGR).
var escapes = map[string]string{api.SeverityProblem: "31", api.SeverityWarning: "33", api.SeverityNote: "36"}

func (p findingsPrinter) print(found []api.Finding, fix bool) error {
	fixable := 0
	for _, f := range found {
		if err := p.finding(f); err != nil {
			return err
		}
		if f.Fixable && f.Fixed == "" {
			fixable++
		}
	}
	summary := p.summary(found)
	if fixable > 0 && !fix {
		summary += "; 'hostnat doctor --fix' fixes " + count(fixable, "of them", "of them")
	}
	_, err := fmt.Fprintln(p.w, summary)
	return err
}

func (p findingsPrinter) finding(f api.Finding) error {
	label := p.paint(escapes[f.Severity], f.Severity)
	if f.Fixed != "" {
		label = p.paint("32", "fixed")
	}
	text := fmt.Sprintf("%s  %s [%s]\n    why:  %s\n", label, f.What, f.Check, f.Why)
	switch {
	case f.Fixed != "":
		text += fmt.Sprintf("    done: %s\n", f.Fixed)
	case f.Failed != "":
		text += fmt.Sprintf("    could not be fixed: %s\n", f.Failed)
	}
	if f.Fixed == "" && f.Command != "" {
		text += fmt.Sprintf("    fix:  %s\n", p.paint("1", f.Command))
	}
	_, err := fmt.Fprintln(p.w, text)
	return err
}

func (p findingsPrinter) summary(found []api.Finding) string {
	numbers := map[string]int{}
	for _, f := range found {
		if f.Fixed == "" {
			numbers[f.Severity]++
		}
	}
	notes := ""
	if numbers[api.SeverityNote] > 0 {
		notes = ", " + count(numbers[api.SeverityNote], "note", "notes")
	}
	if numbers[api.SeverityProblem]+numbers[api.SeverityWarning] == 0 {
		return p.paint("32", "nothing is wrong") + notes
	}
	return count(numbers[api.SeverityProblem], "problem", "problems") + ", " + count(numbers[api.SeverityWarning], "warning", "warnings") + notes
}

func (p findingsPrinter) paint(escape, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + escape + "m" + text + "\x1b[0m"
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
