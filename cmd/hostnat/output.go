package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
)

// format is how results are printed; it is a flag's value.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatYAML  format = "yaml"

	formatWinNAT  format = "winnat"
	formatLibvirt format = "libvirt"
	formatWide    format = "wide"
)

// onlyOf are formats that one command alone has.
var onlyOf = map[format]string{formatWinNAT: "event watch", formatLibvirt: "network show"}

// String is the format's name.
func (f *format) String() string { return string(*f) }

// Type is what help shows as the flag's value.
func (f *format) Type() string { return "format" }

// Set takes the flag's value.
func (f *format) Set(s string) error {
	switch v := format(s); v {
	case formatTable, formatJSON, formatYAML, formatWinNAT, formatLibvirt, formatWide:
		*f = v
		return nil
	}
	return fmt.Errorf("there are table, json and yaml, and wide for lists")
}

// column is one column of a table.
type column[T any] struct {
	header string
	cell   func(T) string
}

func cells[T any](columns []column[T], of func(column[T]) string) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = text.OrDash(of(c))
	}
	return out
}

// printList prints rows as a table, or as a JSON array. With -o wide there are the
// columns that others have beside.
func printList[T any](a *app, rows []T, columns []column[T], wide ...column[T]) error {
	columns = append(slices.Clip(columns), wide...)
	if err := sortRows(a, rows, columns); err != nil {
		return err
	}
	if a.format != formatWide {
		columns = columns[:len(columns)-len(wide)]
	}
	if a.format != formatTable && a.format != formatWide {
		return a.print(append([]T{}, rows...)) // never null
	}
	if a.quiet {
		return forEach(rows, func(row T) error {
			_, err := fmt.Fprintln(a.Stdout, columns[0].cell(row))
			return err
		})
	}
	lines := [][]string{cells(columns, func(c column[T]) string { return c.header })}
	for _, row := range rows {
		lines = append(lines, cells(columns, func(c column[T]) string { return c.cell(row) }))
	}
	if a.Terminal && a.Size != nil && a.format == formatTable { // not for programs, and not where all is asked for
		width, _ := a.Size()
		lines = text.Fit(lines, width)
	}
	t := text.NewTable(a.Stdout)
	for _, line := range lines {
		t.Row(line...)
	}
	return t.Flush()
}

// sortRows sorts by the column that was asked for, if one was; a "-" before it turns the
// order around.
func sortRows[T any](a *app, rows []T, columns []column[T]) error {
	if a.sort == "" {
		return nil
	}
	wanted, reverse := strings.CutPrefix(strings.ToLower(a.sort), "-")
	var names []string
	at := -1
	for i, c := range columns {
		name := strings.ReplaceAll(strings.ToLower(c.header), " ", "-")
		names = append(names, name)
		if name == wanted || at < 0 && strings.HasPrefix(name, wanted) {
			at = i
		}
	}
	if at < 0 {
		return usagef(a.command, "there is no column %q; there are %s", wanted, strings.Join(names, ", "))
	}
	slices.SortStableFunc(rows, func(p, q T) int {
		order := text.Natural(columns[at].cell(p), columns[at].cell(q))
		if reverse {
			return -order
		}
		return order
	})
	return nil
}

// metadataColumns are those of -o wide of what may have labels and an owner.
func metadataColumns[T any](of func(T) (labels map[string]string, owner string)) []column[T] {
	return []column[T]{
		{"LABELS", func(v T) string { labels, _ := of(v); return labelsText(labels) }},
		{"OWNER", func(v T) string { _, owner := of(v); return owner }},
	}
}

// field is one line of an object that is shown alone.
type field struct{ name, value string }

// printObject prints a thing as lines "name  value", or as a JSON object.
func printObject(a *app, v any, fields []field) error {
	a.warn(v)
	if a.format != formatTable {
		return a.print(v)
	}
	t := text.NewTable(a.Stdout)
	for _, f := range fields {
		t.Row(f.name, text.OrDash(f.value))
	}
	return t.Flush()
}

// printLine prints a sentence about v, or v as JSON.
func printLine(a *app, v any, format string, args ...any) error {
	a.warn(v)
	if a.format != formatTable {
		return a.print(v)
	}
	_, err := fmt.Fprintf(a.Stdout, format+"\n", args...)
	return err
}

// warn says on standard error what the answer to a change warns of, whatever the format: a
// program that reads the answer has it there too.
func (a *app) warn(answer any) {
	advised, ok := answer.(interface{ Told() []string })
	if !ok {
		return
	}
	for _, text := range advised.Told() {
		fmt.Fprintf(a.Stderr, "warning: %s\n", text)
	}
}

// printDone says what was done, where there is nothing to show; in JSON,
// silence is the answer.
func printDone(a *app, format string, args ...any) error {
	if a.format != formatTable {
		return nil
	}
	_, err := fmt.Fprintf(a.Stdout, format+"\n", args...)
	return err
}

// print prints a value for programs.
func (a *app) print(v any) error {
	if a.format == formatYAML {
		return text.YAML(a.Stdout, v)
	}
	return text.JSON(a.Stdout, v)
}
