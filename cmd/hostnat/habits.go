package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"
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
	}
}

func addOtherNames(a *app, cmd *cobra.Command) {
	for _, verb := range cmd.Commands() {
		verb.Aliases = append(verb.Aliases, otherNames[verb.Name()]...)
		if verb.Name() == "list" && slices.Contains([]string{"network", "endpoint", "mapping", "nat", "proxy", "pool"}, cmd.Name()) {
			verb.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "print names or ids alone")
		}
		addOtherNames(a, verb)
	}
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
