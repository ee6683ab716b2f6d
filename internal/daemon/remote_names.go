package daemon

import (
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/dns"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/names"
)

// remoteNames ties the name servers, which tell endpoints addresses, to the lists of
// sessions, which show by which name a remote was asked for.
type remoteNames struct{ *names.Table }

func (r remoteNames) learn(l dns.Learned) {
	r.Learn(names.Client{Compartment: l.Compartment, Address: l.Client}, l.Name, l.Addresses, l.Keep, time.Now())
}

func (r remoteNames) name(compartment string, inside, remote netip.Addr, opened time.Time) string {
	return r.Name(names.Client{Compartment: compartment, Address: inside}, remote, opened)
}

// follow forgets what those had asked for who are not there any more.
func (r remoteNames) follow(c config.Config) {
	compartment := make(map[string]string, len(c.Networks))
	for _, n := range c.Networks {
		compartment[n.Name] = n.Compartment
	}
	owners := make(map[names.Client]string, len(c.Endpoints)+len(c.Discovered))
	for _, list := range [][]model.Endpoint{c.Discovered, c.Endpoints} { // an address of both is the managed one's
		for _, e := range list {
			for _, a := range e.Addresses {
				owners[names.Client{Compartment: compartment[e.Network], Address: a}] = e.Network + "/" + e.Name
			}
		}
	}
	r.Owners(owners)
}
