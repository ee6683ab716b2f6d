package nat

// ProxySpec asks for a port proxy.
type ProxySpec struct {
	Kind          string   `json:"kind"`                    // v4tov4, v4tov6, v6tov4, v6tov6 or name
	Protocol      string   `json:"protocol,omitempty"`      // empty: tcp
	Listen        string   `json:"listen"`                  // [HOST:]PORT or [HOST:]LO-HI; HOST an address, a name, or *
	Connect       string   `json:"connect,omitempty"`       // HOST:PORT or HOST:LO-HI; HOST an address, an endpoint or a name; not for kind name
	Routes        []string `json:"routes,omitempty"`        // NAME=HOST:PORT, for kind name
	ProxyProtocol bool     `json:"proxyProtocol,omitempty"` // send a PROXY protocol version 2 header
	Transparent   bool     `json:"transparent,omitempty"`   // keep the client's address; for kind name
}
