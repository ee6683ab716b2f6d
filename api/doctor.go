package api

import (
	"context"
	"net/http"
)

// How much a finding matters: Finding.Severity. A note is worth knowing and no
// fault.
const (
	SeverityProblem = "problem" // something does not work
	SeverityWarning = "warning" // something will not work in a case that comes up
	SeverityNote    = "note"
)

// Finding is one thing that is wrong with the host, or worth knowing.
type Finding struct {
	Check    string `json:"check"` // its name, a heading of docs/doctor.md: "overlap"
	Severity string `json:"severity"`
	What     string `json:"what"`
	Why      string `json:"why"`               // why it matters
	Command  string `json:"command,omitempty"` // what fixes it; empty: it takes a decision
	Fixable  bool   `json:"fixable"`           // --fix does it
	Fixed    string `json:"fixed,omitempty"`   // what --fix did
	Failed   string `json:"failed,omitempty"`  // why --fix could not
}

// Faulty reports whether the finding is a fault that is still there.
func (f Finding) Faulty() bool { return f.Severity != SeverityNote && f.Fixed == "" }

// DoctorSpec asks for faults to be looked for.
type DoctorSpec struct {
	Fix bool `json:"fix,omitempty"` // do what is safe to do
}

// Doctor asks what is wrong with the host; fix has it do what is safe.
func (c *Client) Doctor(ctx context.Context, fix bool) (l []Finding, err error) {
	if fix {
		err = c.call(ctx, http.MethodPost, "/v1/doctor", DoctorSpec{Fix: true}, &l)
	} else {
		err = c.call(ctx, http.MethodGet, "/v1/doctor", nil, &l)
	}
	return l, err
}
