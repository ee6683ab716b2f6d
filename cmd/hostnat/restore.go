package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/daemon"
)

// maxBackup is the longest state file that is read, in bytes.
const maxBackup = 1 << 28

func restoreCommand(a *app) *cobra.Command {
	var options daemon.Options
	var source restoreSource
	cmd := &cobra.Command{
		Use: "restore [--copy | --from FILE | --empty]", Short: "Choose the configuration to go on with, when its files are damaged", Args: positional(),
		Long: "Choose the configuration to go on with, when its files are damaged and hostnat cannot tell which one was the last.\n" +
			"Without a flag it shows the choices and changes nothing. The files that are there are kept, under other names.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.needRoot("hostnat restore"); err != nil {
				return err
			}
			from, err := source.read()
			if err != nil {
				return err
			}
			return a.restore(cmd, options, from)
		},
	}
	cmd.Flags().BoolVar(&source.copy, "copy", false, "what can be read of the damaged files")
	cmd.Flags().StringVar(&source.file, "from", "", "a backup of a state file, `FILE`")
	cmd.Flags().BoolVar(&source.empty, "empty", false, "an empty configuration: everything of hostnat that runs is taken down")
	cmd.MarkFlagsMutuallyExclusive("copy", "from", "empty")
	addDirectories(cmd.Flags(), &options)
	return cmd
}

// restoreSource is what the flags say.
type restoreSource struct {
	copy, empty bool
	file        string
}

func (s restoreSource) read() (from daemon.Source, err error) {
	from = daemon.Source{Copy: s.copy, Empty: s.empty}
	if s.file != "" {
		if from.File, err = readBackup(s.file); err != nil {
			return from, fmt.Errorf("read the backup: %w", err)
		}
	}
	return from, nil
}

func readBackup(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBackup+1))
	if err == nil && len(data) > maxBackup {
		err = &api.Error{Code: api.Invalid, Message: fmt.Sprintf("%s is longer than %d bytes", path, maxBackup)}
	}
	return data, err
}

func (a *app) restore(cmd *cobra.Command, options daemon.Options, from daemon.Source) error {
	if !from.Copy && !from.Empty && from.File == nil {
		choices, err := a.choices(cmd, options)
		if err != nil {
			return err
		}
		return printChoices(a.Stdout, choices)
	}
	_, err := a.client().Restore(cmd.Context(), api.Restoration{Copy: from.Copy, Empty: from.Empty, File: string(from.File)})
	if err == nil {
		return printDone(a, "the configuration is restored, and the daemon goes on with it")
	}
	if !api.NotRunning(err) {
		return err
	}
	if err := daemon.Restore(cmd.Context(), options, from); err != nil {
		return err
	}
	return printDone(a, "the configuration is restored; it is in force when the daemon starts")
}

// choices are asked of the daemon if there is one.
func (a *app) choices(cmd *cobra.Command, options daemon.Options) ([]api.Finding, error) {
	found, err := a.client().Doctor(cmd.Context(), false)
	if api.NotRunning(err) {
		found, err = a.examine(cmd, options, false)
	}
	return slices.DeleteFunc(found, func(f api.Finding) bool { return !strings.HasPrefix(f.Command, "hostnat restore") }), err
}

func printChoices(w io.Writer, choices []api.Finding) error {
	if len(choices) == 0 {
		_, err := fmt.Fprintln(w, "the configuration is in order: there is nothing to decide")
		return err
	}
	for _, c := range choices {
		if _, err := fmt.Fprintf(w, "%s\n    %s\n", c.Command, c.What); err != nil {
			return err
		}
	}
	return nil
}
