package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/configfile"
	"github.com/hostnat/hostnat/internal/foreign"
)

// maxConfiguration is the longest configuration file that is read, in bytes: the
// daemon takes no more.
const maxConfiguration = 16 << 20

const applyLong = "Make the configuration as files want it: in one change, or, if anything in them is refused, not at all.\n" +
	"Objects and settings that the files do not mention stay. With --prune they go: objects are deleted\n" +
	"(of the kinds that the files mention, those with the files' owner), settings get their defaults.\n" +
	"What hostnat makes by itself for Docker and Podman is never touched."

// diffTrouble is a failure of what compares: its exit code 1 says that there is a difference.
type diffTrouble struct{ error }

func (e diffTrouble) Unwrap() error { return e.error }

func applyCommand(a *app) *cobra.Command {
	var files []string
	var spec api.ApplySpec
	cmd := &cobra.Command{
		Use: "apply -f FILE...", Short: "Make the configuration as files want it", Args: positional(),
		Long:    applyLong,
		Example: "  hostnat apply -f site.yaml\n  hostnat apply -f base.yaml -f web.yaml --dry-run\n  hostnat export | ssh other hostnat apply -f -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.apply(cmd, files, spec)
		},
	}
	fileFlags(cmd, &files, &spec)
	cmd.Flags().BoolVar(&spec.DryRun, "dry-run", false, "say what would change, and change nothing: as 'hostnat diff' does")
	return cmd
}

func diffCommand(a *app) *cobra.Command {
	var files []string
	spec := api.ApplySpec{DryRun: true}
	cmd := &cobra.Command{
		Use: "diff -f FILE...", Short: "Say what 'hostnat apply' would change", Args: positional(),
		Long: "Say what 'hostnat apply' would change, and change nothing.\nThe exit code is 0 if nothing would, 1 if something would, and 2 if the files are refused.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.apply(cmd, files, spec)
		},
	}
	fileFlags(cmd, &files, &spec)
	return cmd
}

func fileFlags(cmd *cobra.Command, files *[]string, spec *api.ApplySpec) {
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "a configuration `FILE`, a directory with some, or - for standard input; may be repeated")
	cmd.Flags().BoolVar(&spec.Prune, "prune", false, "what the files do not mention goes")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json") // the flag is there
}

func (a *app) apply(cmd *cobra.Command, files []string, spec api.ApplySpec) error {
	if len(files) == 0 {
		return usagef(cmd, "-f FILE is needed; - is standard input")
	}
	done, err := a.applied(cmd, files, spec)
	if err != nil {
		if spec.DryRun {
			return diffTrouble{err}
		}
		return err
	}
	if err := a.printApplied(done, spec.DryRun); err != nil {
		return err
	}
	if spec.DryRun && len(done.Changes) > 0 {
		return errFaulty
	}
	return nil
}

func (a *app) applied(cmd *cobra.Command, files []string, spec api.ApplySpec) (done api.Applied, err error) {
	if spec.Files, err = a.readFiles(files); err != nil {
		return done, err
	}
	return a.client().Apply(cmd.Context(), spec)
}

// readFiles reads what -f names.
func (a *app) readFiles(names []string) (list []api.ConfigurationFile, err error) {
	for _, name := range names {
		paths := []string{name}
		if info, err := os.Stat(name); name != "-" && err == nil && info.IsDir() {
			if paths, err = configfile.Fragments(name); err != nil {
				return nil, err
			}
			if len(paths) == 0 {
				return nil, &api.Error{Code: api.Invalid, Message: "directory " + name + " has no configuration file", Hint: "files end in .yaml, .yml or .json"}
			}
		}
		for _, path := range paths {
			f := api.ConfigurationFile{Name: path}
			if f.Text, err = a.readFile(path); err != nil {
				return nil, err
			}
			if path == "-" {
				f.Name = "standard input"
			}
			list = append(list, f)
		}
	}
	return list, nil
}

func (a *app) readFile(path string) (string, error) {
	in := a.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", readError(path, err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxConfiguration+1))
	if err == nil && len(text) > maxConfiguration {
		err = fmt.Errorf("it is longer than %d bytes", maxConfiguration)
	}
	return string(text), readError(path, err)
}

func readError(path string, err error) error {
	if err == nil {
		return nil
	}
	var at *os.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("read the configuration file %s: %w", path, err)
}

// printApplied prints a line for each object that is another: "+ network web".
func (a *app) printApplied(done api.Applied, dry bool) error {
	if a.format != formatTable {
		return a.print(done)
	}
	for _, w := range done.Warnings {
		fmt.Fprintf(a.Stderr, "hostnat: %s\n", w)
	}
	if len(done.Changes) == 0 && !dry {
		return printDone(a, "nothing to change")
	}
	return forEach(done.Changes, func(c api.ConfigurationChange) error {
		_, err := fmt.Fprintln(a.Stdout, changeLine(c))
		return err
	})
}

func changeLine(c api.ConfigurationChange) string {
	mark := map[string]string{api.Created: "+", api.Changed: "~", api.Deleted: "-"}[c.Verb]
	var fields []string
	for _, f := range c.Fields {
		switch {
		case c.Verb == api.Created:
			fields = append(fields, f.Key+" "+f.After)
		case c.Verb == api.Deleted:
			fields = append(fields, f.Key+" "+f.Before)
		default:
			fields = append(fields, fmt.Sprintf("%s %s -> %s", f.Key, text.OrDash(f.Before), text.OrDash(f.After)))
		}
	}
	line := mark + " " + c.Kind + " " + c.Name
	if len(fields) > 0 {
		line += ": " + strings.Join(fields, "; ")
	}
	return line
}

func exportCommand(a *app) *cobra.Command {
	var schema bool
	cmd := &cobra.Command{
		Use: "export", Short: "Print the configuration as a file for 'hostnat apply'", Args: positional(),
		Long:    "Print the configuration as a file for 'hostnat apply': on this machine that changes nothing, on an empty one it\nmakes the same. What it makes by itself for Docker and Podman is left out, and so are endpoints of processes.",
		Example: "  hostnat export > site.yaml\n  hostnat export -o json\n  hostnat export --schema > hostnat.schema.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if schema {
				text, err := configfile.Schema()
				if err == nil {
					_, err = a.Stdout.Write(text)
				}
				return err
			}
			e, err := a.client().Export(cmd.Context())
			if err != nil {
				return err
			}
			if a.format != formatJSON {
				_, err = io.WriteString(a.Stdout, e.Text)
				return err
			}
			var v any
			if err := yaml.Unmarshal([]byte(e.Text), &v); err != nil {
				return fmt.Errorf("read the exported configuration: %w", err)
			}
			return text.JSON(a.Stdout, v)
		},
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON schema of such files, for editors")
	return cmd
}

func importCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "import docker|libvirt|netnat|portproxy [FILE...]", Short: "Propose a configuration file from what another tool prints",
		ValidArgs: foreign.Kinds(),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || !slices.Contains(foreign.Kinds(), args[0]) {
				return usagef(cmd, "say whose it is: %s", strings.Join(foreign.Kinds(), ", "))
			}
			return nil
		},
		Long: "Propose a configuration file from what another tool prints. Nothing is changed, and no daemon is needed: read the file,\n" +
			"change it, then 'hostnat diff -f FILE' and 'hostnat apply -f FILE'. Without FILE, or with -, standard input is read.\n\n" +
			"  docker      docker network inspect, docker inspect (of containers)\n" +
			"  libvirt     virsh net-dumpxml\n" +
			"  netnat      Get-NetNat, Get-NetNatExternalAddress, Get-NetNatStaticMapping, as lists or by ConvertTo-Json\n" +
			"  portproxy   netsh interface portproxy show all, or dump",
		Example: "  docker network inspect $(docker network ls -q) | hostnat import docker >site.yaml\n" +
			"  virsh net-dumpxml default | hostnat import libvirt",
		RunE: func(_ *cobra.Command, args []string) error { return a.propose(args[0], args[1:]) },
	}
}

// propose prints the proposal for what is in files.
func (a *app) propose(kind string, files []string) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	var text strings.Builder
	for _, file := range files {
		part, err := a.readFile(file)
		if err != nil {
			return err
		}
		text.WriteString(part + "\n")
	}
	proposal, err := foreign.Read(kind, text.String())
	if err != nil {
		return &api.Error{Code: api.Invalid, Message: "import " + kind + ": " + err.Error()}
	}
	comment := "Proposed by 'hostnat import " + kind + "'. Read it, then: hostnat diff -f FILE; hostnat apply -f FILE"
	for _, note := range proposal.Notes {
		comment += "\n- " + note
	}
	out, err := configfile.Propose(proposal.Objects, comment)
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(out)
	return err
}
