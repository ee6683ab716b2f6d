package dhcp

// Refusals is what a network's server did not do.
type Refusals struct {
	Forged   uint64 // messages of machines that spoke in the name of others
	Unserved uint64 // requests for which there was no address
}

// Refusals returns them for each network that has a server, since that started.
func (v *Servers) Refusals() map[string]Refusals {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make(map[string]Refusals, len(v.running))
	for network, r := range v.running {
		all[network] = Refusals{Forged: r.server.forged.Load(), Unserved: r.server.refused.Load()}
	}
	return all
}
