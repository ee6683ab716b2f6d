package explain

import (
	"cmp"
	"fmt"

	"github.com/hostnat/hostnat/internal/model"
)

// leastMTU is the least that a network's may be set to.
const leastMTU = 576

// Leaves reports whether the packet goes out to a remote, so that there is a path to probe.
func (a *Answer) Leaves() bool {
	return a.Fate.Verdict == model.VerdictSent && a.Fate.OutLink != ""
}

// NoPath says that there was nothing to probe.
func (a *Answer) NoPath() {
	a.Steps = append(a.Steps, Step{"path", "not probed: the packet does not get out"})
}

// AddPath says how large packets get to the remote.
func (a *Answer) AddPath(w World, p model.PathMTU) {
	a.Path = &p
	remote, largest := a.Fate.To.Addr().String(), bytesText(p.Largest)
	found := ""
	switch {
	case p.Refusal != "":
		found = fmt.Sprintf("%s is not reached: %s", remote, p.Refusal)
	case p.Largest == 0:
		found = fmt.Sprintf("%s does not answer %s of any size: how large packets may be is not known", remote, p.By)
	case p.Largest == p.Tried:
		found = fmt.Sprintf("packets of %s, the largest that leave, get to %s (%s)", largest, remote, p.By)
	case p.Router.IsValid():
		found = fmt.Sprintf("packets of %s get to %s (%s); of larger ones %s says that they are too big", largest, remote, p.By, p.Router)
	default:
		found = fmt.Sprintf("packets of %s get to %s (%s); larger ones vanish", largest, remote, p.By)
	}
	a.Steps = append(a.Steps, Step{"path", found})
	if p.Vanish() {
		a.blackHole(w, p)
	}
}

func (a *Answer) blackHole(w World, p model.PathMTU) {
	n, found := w.networkNamed(a.Fate.Network)
	if sends := cmp.Or(n.MTU, w.Host.MTU, p.Tried); found && sends <= p.Largest {
		a.Steps = append(a.Steps, Step{"network", fmt.Sprintf("%s sends none larger than %s", n.Name, bytesText(sends))})
		return
	}
	a.Summary = fmt.Sprintf("It gets out, but packets above %s to %s vanish without an ICMP error.", bytesText(p.Largest), a.Fate.To.Addr())
	a.Meaning = "A link on the way has a smaller MTU, and the error that says so does not come back (an MTU black hole): connections open, and large transfers hang."
	if found {
		a.Remedies = append(a.Remedies, Remedy{"network " + n.Name, fmt.Sprintf("hostnat network set %s mtu=%d", n.Name, max(p.Largest, leastMTU))})
	}
}

// bytesText is "1,400 bytes".
func bytesText(n int) string {
	if n >= 1000 {
		return fmt.Sprintf("%d,%03d bytes", n/1000, n%1000)
	}
	return fmt.Sprintf("%d bytes", n)
}
