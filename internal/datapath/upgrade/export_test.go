package upgrade

import (
	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// SessionsIn reads the sessions of whatever version's tables are pinned in dir.
func SessionsIn(dir string) (map[kernel.SessionKey]kernel.Session, error) {
	spec, err := kernel.LoadSpec()
	if err != nil {
		return nil, err
	}
	u, err := NewPlan(dir, spec)
	if err != nil {
		return nil, err
	}
	defer u.Close()
	l, err := u.readLiving()
	if err != nil {
		return nil, err
	}
	return l.sessions, nil
}
