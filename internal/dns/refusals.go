package dns

// Refusals returns how many questions and connections each network's name server has
// refused, since it started.
func (s *Server) Refusals() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]uint64, len(s.networks))
	for name, n := range s.networks {
		if n.listener != nil {
			all[name] = n.listener.refused.Load()
		}
	}
	return all
}
