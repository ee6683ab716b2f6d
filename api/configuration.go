package api

import (
	"context"
	"net/http"
)

// ConfigurationFile is a configuration file: YAML or JSON. Refusals name it by Name.
type ConfigurationFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// ApplySpec asks for the configuration that files describe.
type ApplySpec struct {
	Files  []ConfigurationFile `json:"files"`
	DryRun bool                `json:"dryRun,omitempty"` // say what would change, and change nothing
	Prune  bool                `json:"prune,omitempty"`  // of the kinds that they mention the files are the whole truth
}

// Applied is what applying files has changed, or would change.
type Applied struct {
	Changes  []ConfigurationChange `json:"changes"`  // none: everything is as the files have it
	Warnings []string              `json:"warnings"` // what is as it is wanted and does not work now
}

// What becomes of an object: ConfigurationChange.Verb.
const (
	Created = "created"
	Changed = "changed"
	Deleted = "deleted"
)

// ConfigurationChange says what becomes of one object.
type ConfigurationChange struct {
	Verb   string        `json:"verb"`
	Kind   string        `json:"kind"`   // pool, nat, network, endpoint, reservation, mapping or proxy
	Name   string        `json:"name"`   // of a mapping or proxy "tcp *:8080", of a reservation "web/172.16.1.9"
	Fields []FieldChange `json:"fields"` // those that differ; of what is created or deleted, those that are not as usual
}

// FieldChange is a key of an object, as files have it, with its values.
type FieldChange struct {
	Key    string `json:"key"` // of one within another "timeouts.udp"
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// ExportedConfiguration is the configuration as a file.
type ExportedConfiguration struct {
	Text    string   `json:"text"`    // YAML
	LeftOut []string `json:"leftOut"` // what is not in it, as "2× endpoint of docker"
}

// Apply makes the configuration as files want it: all of it in one change, or
// nothing.
func (c *Client) Apply(ctx context.Context, spec ApplySpec) (a Applied, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/configuration", spec, &a)
	return a, err
}

// Export returns the configuration as a file that Apply takes.
func (c *Client) Export(ctx context.Context) (e ExportedConfiguration, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/configuration", nil, &e)
	return e, err
}
