package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
)

// otherNames are those that docker, ip and incus have for a command.
var otherNames = map[string][]string{
	"list": {"ls"}, "show": {"inspect"}, "delete": {"rm"}, "detach": {"rm"}, "remove": {"rm"},
}

// synonyms are words that people type for a command of ours: it is suggested.
var synonyms = map[string][]string{
	"daemon": {"up", "start", "run", "serve"}, "down": {"stop", "uninstall"}, "event": {"logs", "log"}, "status": {"info", "stats"},
	"session": {"connections", "conntrack"}, "endpoint": {"container", "vm", "attach", "connect", "ps", "ls", "inspect"}, "publish": {"expose", "forward"},
	"network": {"bridge", "switch"}, "address": {"ip"}, "reservation": {"static"}, "lease": {"dhcp"},
}

// addHabits gives commands the names and flags that other programs have taught.
func addHabits(a *app, root *cobra.Command) {
	for _, noun := range root.Commands() {
		noun.SuggestFor = synonyms[noun.Name()]
		addOtherNames(a, noun)
		addExamples(noun)
	}
}

// addExamples gives examples to commands that have none of their own and no others below.
func addExamples(cmd *cobra.Command) {
	for _, below := range cmd.Commands() {
		addExamples(below)
	}
	if cmd.HasSubCommands() || cmd.Example != "" {
		return
	}
	name := strings.TrimPrefix(cmd.CommandPath(), "hostnat ")
	var lines []string
	for _, line := range text.Examples[name] {
		lines = append(lines, "  hostnat "+line)
	}
	cmd.Example = strings.Join(lines, "\n")
}

func addOtherNames(a *app, cmd *cobra.Command) {
	for _, verb := range cmd.Commands() {
		verb.Aliases = append(verb.Aliases, otherNames[verb.Name()]...)
		if verb.Name() == "list" {
			verb.Flags().StringVar(&a.sort, "sort", "", "sort by this `column`; -COLUMN the other way round")
			a.addWatch(verb)
		}
		if verb.Name() == "list" && slices.Contains([]string{"network", "endpoint", "mapping", "nat", "proxy", "pool"}, cmd.Name()) {
			verb.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "print names or ids alone")
		}
		addOtherNames(a, verb)
	}
}

// againAfter is how long a list that is watched stands.
const againAfter = 2 * time.Second

// addWatch has a list be shown again and again: on a terminal in its place.
func (a *app) addWatch(list *cobra.Command) {
	watch := list.Flags().BoolP("watch", "w", false, "show it again every two seconds, until interrupted")
	once := list.RunE
	list.RunE = func(cmd *cobra.Command, args []string) error {
		for {
			if !*watch {
				return once(cmd, args)
			}
			var page bytes.Buffer
			out := a.Stdout
			a.Stdout = &page
			err := once(cmd, args)
			a.Stdout = out
			if cmd.Context().Err() != nil {
				return nil
			}
			if err == nil {
				err = a.showAgain(page.String())
			}
			if err != nil {
				return err
			}
			select {
			case <-cmd.Context().Done():
				return nil
			case <-time.After(againAfter):
			}
		}
	}
}

// showAgain shows a page in the place of the last one or, where that is no terminal,
// after it.
func (a *app) showAgain(page string) error {
	if a.Terminal && a.format != formatJSON && a.format != formatYAML {
		return a.screen(page)
	}
	_, err := fmt.Fprintln(a.Stdout, page)
	return err
}

// forEach does something to everything that is named, whatever becomes of the
// others.
func forEach[T any](list []T, do func(T) error) error {
	var errs []error
	for _, v := range list {
		errs = append(errs, do(v))
	}
	return errors.Join(errs...)
}

// repeated completes any number of arguments from one list.
func (a *app) repeated(list names) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		left := slices.DeleteFunc(a.ask(cmd.Context(), list), func(name string) bool { return slices.Contains(args, name) })
		return left, cobra.ShellCompDirectiveNoFileComp
	}
}
