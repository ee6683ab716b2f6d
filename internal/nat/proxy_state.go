package nat

import "time"

// ProxyState is what a port proxy does at the moment, and has done since the
// daemon started.
type ProxyState struct {
	Listening        bool       `json:"listening"`         // on all of its ports
	Problem          string     `json:"problem,omitempty"` // what keeps it from working now
	Connections      uint64     `json:"connections"`       // at the moment; UDP: clients heard of in the last minutes
	TotalConnections uint64     `json:"totalConnections"`
	BytesIn          uint64     `json:"bytesIn"`  // from clients to servers
	BytesOut         uint64     `json:"bytesOut"` // from servers to clients
	LastError        string     `json:"lastError,omitempty"`
	LastErrorAt      *time.Time `json:"lastErrorAt,omitempty"`
}
