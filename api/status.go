package api

import (
	"context"
	"net/http"
)

// Version is which hostnat the daemon is.
type Version struct {
	Version string `json:"version"`
}

// Status is the daemon's state on one page.
type Status struct {
	Version           string            `json:"version"`
	PID               int               `json:"pid"`
	UptimeSeconds     uint64            `json:"uptimeSeconds"`
	NATs              int               `json:"nats"`
	Networks          int               `json:"networks"`
	Endpoints         int               `json:"endpoints"`
	Mappings          int               `json:"mappings"`
	Bindings          uint64            `json:"bindings"`
	Sessions          uint64            `json:"sessions"`
	MaxSessions       uint64            `json:"maxSessions"`
	Drops             map[string]uint64 `json:"drops"`       // packets, by reason
	DropReasons       map[string]string `json:"dropReasons"` // what each reason in Drops means, in a sentence
	Problems          []string          `json:"problems"`
	Warnings          []string          `json:"warnings"` // what is configured and surely not meant
	ExternalAddresses []Address         `json:"externalAddresses"`
	Clients           Clients           `json:"clients"`
}

// Clients are those of the API, this one included, and what they were refused
// since the daemon started.
type Clients struct {
	Connections        int    `json:"connections"`
	Watchers           int    `json:"watchers"` // streams of events
	RefusedConnections uint64 `json:"refusedConnections"`
	RefusedWatchers    uint64 `json:"refusedWatchers"`
	ClosedIdle         uint64 `json:"closedIdle"` // idle connections that were closed for new ones
}

// Version asks for the daemon's version.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/version", nil, &v)
	return v, err
}

// Status asks how the daemon and the data path are.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Down has everything removed from the kernel; the configuration stays.
func (c *Client) Down(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/down", nil, nil)
}

// Restoration says which configuration to use: what can be read of the damaged
// files, an empty one, or that of a state file.
type Restoration struct {
	Copy  bool   `json:"copy,omitempty"`
	Empty bool   `json:"empty,omitempty"`
	File  string `json:"file,omitempty"` // its content
}

// Restored is the configuration that is in force now.
type Restored struct {
	Revision uint64 `json:"revision"`
}

// Restore has a daemon that waits for a decision use a configuration. One that
// has a configuration refuses with code Conflict.
func (c *Client) Restore(ctx context.Context, r Restoration) (out Restored, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/restore", r, &out)
	return out, err
}
