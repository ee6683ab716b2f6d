//go:build man

package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra/doc"
)

// With the build tag man this is a program that writes a manual page for each
// command into a directory: go run -tags man ./cmd/hostnat DIR.
func main() {
	if err := writeManual(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "manual pages:", err)
		os.Exit(exitRefused)
	}
}

func writeManual(dir string) error {
	root := rootCommand(env{Getenv: func(string) string { return "" }})
	root.DisableAutoGenTag = true
	header := doc.GenManHeader{Section: "1", Source: "hostnat " + version, Manual: "hostnat"}
	if seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		date := time.Unix(seconds, 0).UTC()
		header.Date = &date
	}
	return doc.GenManTree(root, &header, dir)
}
