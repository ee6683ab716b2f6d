package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hostnat/hostnat/api"
)

// The exit codes.
const (
	exitDone    = 0
	exitRefused = 1
	exitUsage   = 2
)

// run is the program: it never exits the process and touches nothing global.
func run(ctx context.Context, e env) int {
	root := rootCommand(e)
	// The command line's own arguments, even if there are none: nil would mean
	// the process's.
	root.SetArgs(append([]string{}, e.Args...))
	root.SetIn(e.Stdin)
	root.SetOut(e.Stdout)
	root.SetErr(e.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errFaulty) {
		return exitRefused // it was said on stdout
	}
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(e.Stderr, "hostnat: %s; usage: %s\n", oneLine(err), usage.line)
		return exitUsage
	}
	fmt.Fprintf(e.Stderr, "hostnat: %s\n", oneLine(err))
	if errors.As(err, new(diffTrouble)) {
		return exitUsage
	}
	return exitRefused
}

// usageError is a command line that makes no sense, whatever the daemon says.
type usageError struct {
	problem string
	line    string // "hostnat network create NAME [flags]"
}

func (e *usageError) Error() string { return e.problem }

func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{problem: fmt.Sprintf(format, args...), line: usageLine(cmd)}
}

func usageLine(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND [flags]"
	}
	line, _, _ := strings.Cut(cmd.UseLine(), "\n")
	return line
}

func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// app is what the commands share.
type app struct {
	env
	socket string
	format format
	quiet  bool   // lists are names alone
	sort   string // the column that lists are sorted by

	command *cobra.Command // that runs
}

func (a *app) client() *api.Client { return api.NewClient(a.socket) }

func rootCommand(e env) *cobra.Command {
	a := &app{env: e, format: formatTable, socket: e.Getenv("HOSTNAT_SOCKET")}
	if a.socket == "" {
		a.socket = api.DefaultSocket
	}
	root := group("hostnat", "Networks behind NAT for the VMs and containers of this host")
	addGroup(root, "Objects:", networkCommand(a), endpointCommand(a), mappingCommand(a), publishCommand(a), proxyCommand(a), natCommand(a),
		addressCommand(a), poolCommand(a), reservationCommand(a), dockerCommand(a), podmanCommand(a))
	addGroup(root, "Configuration files:", applyCommand(a), diffCommand(a), exportCommand(a), importCommand(a))
	addGroup(root, "State and history:", statusCommand(a), topCommand(a), webCommand(a), sessionCommand(a), bindingCommand(a), portCommand(a), leaseCommand(a),
		eventCommand(a), captureCommand(a), recordCommand(a), replayCommand(a), explainCommand(a), metricsCommand(a), doctorCommand(a), restoreCommand(a))
	addGroup(root, "The program:", daemonCommand(a), downCommand(a), demoCommand(a), versionCommand(a))
	root.SetHelpCommandGroupID(root.Groups()[len(root.Groups())-1].ID)
	root.SetCompletionCommandGroupID(root.Groups()[len(root.Groups())-1].ID)
	addHabits(a, root)
	root.Version = buildVersion()
	root.SetVersionTemplate("hostnat {{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(flagError)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		a.command = cmd
		only, is := onlyOf[a.format]
		if a.format == formatWide && cmd.Name() != "list" {
			only, is = "lists", true
		}
		if is && cmd.CommandPath() != "hostnat "+only {
			return usagef(cmd, "-o %s is for %s; there are table, json and yaml", a.format, only)
		}
		return checkValues(cmd)
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.socket, "socket", a.socket, "the daemon's socket (also HOSTNAT_SOCKET)")
	flags.VarP(&a.format, "output", "o", "how to print: table, json or yaml; lists wide too")
	completeFlag(root, "output", string(formatTable), string(formatJSON), string(formatYAML), string(formatWide))
	return root
}

// group makes a command that only has others below it.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			if cmd.HasParent() {
				return usagef(cmd, "%s needs a command: %s", cmd.Name(), strings.Join(commandNames(cmd), ", "))
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(commands...)
	return cmd
}

// flagError is what a flag that cannot be read ends in. That of a command that
// does not exist is not the problem to report.
func flagError(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); cmd.HasAvailableSubCommands() && len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	return usagef(cmd, "%v", err)
}

// checkValues refuses a flag whose value is there and empty, as in
// --subnet "$UNSET": it would mean another thing than what was meant.
func checkValues(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, several := f.Value.(pflag.SliceValue); several {
			values = list.GetSlice()
		}
		if slices.Contains(values, "") {
			err = usagef(cmd, "--%s is empty", f.Name)
		}
	})
	return err
}

// addGroup adds commands under a title of the help.
func addGroup(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = title
	}
	root.AddCommand(commands...)
}

func unknownCommand(cmd *cobra.Command, name string) error {
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return usagef(cmd, "%q is not a command; did you mean %s?", name, strings.Join(near, " or "))
	}
	return usagef(cmd, "%q is not a command; there are %s", name, strings.Join(commandNames(cmd), ", "))
}

func commandNames(cmd *cobra.Command) (names []string) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}
