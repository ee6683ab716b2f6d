// Package text writes what commands show: values for people, tables, JSON, YAML and
// libvirt's XML.
package text

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// JSON writes a value for programs.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Table is lines with columns.
type Table struct{ *tabwriter.Writer }

// NewTable returns a table; Flush writes it.
func NewTable(w io.Writer) Table {
	return Table{tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)}
}

// Row adds a line; what goes wrong with it is told by Flush.
func (t Table) Row(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) }

// OrDash is what a cell has: never nothing, so that programs can count the columns.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
