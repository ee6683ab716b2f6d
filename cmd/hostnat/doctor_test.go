package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/api"
)

func TestFindingsInColour(t *testing.T) {
	t.Parallel()
	found := []api.Finding{
		{Check: "a", Severity: api.SeverityProblem, What: "broken", Why: "so", Command: "fix it"},
		{Check: "b", Severity: api.SeverityWarning, What: "cracked", Why: "so", Failed: "no right to"},
	}
	tests := []struct {
		name     string
		terminal bool
		noColor  string
		want     bool
	}{{"terminal", true, "", true}, {"pipe", false, "", false}, {"NO_COLOR", true, "1", false}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			getenv := func(name string) string {
				if name == "NO_COLOR" {
					return tt.noColor
				}
				return ""
			}
			a := &app{env: env{Stdout: &out, Terminal: tt.terminal, Getenv: getenv}, format: formatTable}
			if err := a.printFindings(found, false); !errors.Is(err, errFaulty) {
				t.Errorf("error %v", err)
			}
			if got := strings.Contains(out.String(), "\x1b[31mproblem\x1b[0m"); got != tt.want {
				t.Errorf("coloured: %v, want %v: %q", got, tt.want, out.String())
			}
			if strings.Contains(out.String(), "\x1b") != tt.want {
				t.Errorf("escapes: %q", out.String())
			}
			if !strings.Contains(out.String(), "could not be fixed: no right to") {
				t.Errorf("the failure is not told: %q", out.String())
			}
		})
	}
}

func TestNoFindings(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{env: env{Stdout: &out, Getenv: func(string) string { return "" }}, format: formatTable}
	if err := a.printFindings(nil, false); err != nil || out.String() != "nothing is wrong\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	out.Reset()
	a.format = formatJSON
	if err := a.printFindings(nil, false); err != nil || out.String() != "[]\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
