package doctor

import (
	"fmt"
	"maps"
	"slices"
)

var daemonCheck = check{
	name: "daemon", looks: "whether the daemon runs, and what it says of itself",
	find: func(f Facts) (found []Finding) {
		if f.Daemon == nil {
			return []Finding{{
				Severity: Problem, What: "the daemon is not running",
				Why:     "nothing can be changed, and what happens to links and addresses is not followed. Flows go on without it, unless 'hostnat down' has ended them. Checks that need it were left out",
				Command: "hostnat daemon",
			}}
		}
		for _, p := range f.Daemon.Problems {
			found = append(found, Finding{Severity: Problem, What: p, Why: "the daemon could not make everything as it is configured", Command: "hostnat status"})
		}
		return found
	},
}

var stateCheck = check{
	name: "state", looks: "the files with the configuration and the leases",
	find: func(f Facts) (found []Finding) {
		for _, line := range f.StateFiles {
			found = append(found, Finding{
				Severity: Warning, What: line,
				Why: "a file that hostnat keeps its state in was damaged, removed or cannot be written; docs/state.md says what hostnat does about that",
			})
		}
		if f.Undecided == nil {
			return found
		}
		for _, c := range f.Undecided.Choices {
			found = append(found, Finding{
				Severity: Problem, What: f.Undecided.Why + "; one choice: " + c.What,
				Why:     "what runs goes on running, but nothing can be changed, and nobody gets an address or a name from hostnat, until somebody has decided",
				Command: c.Command,
			})
		}
		return found
	},
}

var endpointCheck = check{
	name: "endpoint", looks: "whether each endpoint's namespace or link is there",
	find: func(f Facts) (found []Finding) {
		if f.Daemon == nil {
			return nil
		}
		for _, name := range slices.Sorted(maps.Keys(f.Daemon.Absent)) {
			found = append(found, Finding{
				Severity: Warning, What: fmt.Sprintf("endpoint %s is not attached: %v", name, f.Daemon.Absent[name]),
				Why:     "it is attached again by itself when what it was attached to comes back; mappings to it lead nowhere until then",
				Command: "hostnat endpoint detach " + name,
			})
		}
		return found
	},
}

var tapCheck = check{
	name: "tap", looks: "whether a program has each TAP of the networks open, and takes large segments by it",
	find: func(f Facts) (found []Finding) {
		whose := make(map[string]string) // by link
		for _, e := range f.Config.Endpoints {
			whose[e.Interface] = "of endpoint " + e.Name
		}
		for _, l := range f.Host.Links {
			name := whose[l.Name]
			if n, is := f.networkOn(f.linkName(l.MasterIndex)); is && name == "" {
				name = "on network " + n.Name
			}
			if name == "" || l.Type != "tuntap" {
				continue
			}
			switch {
			case !l.Up:
				found = append(found, Finding{
					Severity: Warning, What: fmt.Sprintf("TAP %s %s is down", l.Name, name),
					Why:     "nothing gets through to the VM",
					Command: fmt.Sprintf("ip link set %s up", l.Name),
				})
			case l.IsIdleTAP():
				found = append(found, Finding{
					Severity: Note, What: fmt.Sprintf("TAP %s %s is open in no program", l.Name, name),
					Why:     "its VM does not run, or uses another TAP",
					Command: fmt.Sprintf("start the VM with it (QEMU: -netdev tap,ifname=%s,script=no,downscript=no)", l.Name),
				})
			case !l.VNetHdr:
				found = append(found, Finding{
					Severity: Note, What: fmt.Sprintf("TAP %s %s is open without a virtio header", l.Name, name),
					Why:     "the kernel cuts each large segment for the VM and computes all checksums: bulk transfers are slower than they could be",
					Command: "open it with IFF_VNET_HDR (QEMU: a virtio-net device, and no vnet_hdr=off)",
				})
			}
		}
		return found
	},
}

// linkName is the name of the link with that index; empty: there is none.
func (f Facts) linkName(index int) string {
	for _, l := range f.Host.Links {
		if l.Index == index && index != 0 {
			return l.Name
		}
	}
	return ""
}

var tablesCheck = check{
	name: "tables", looks: "how full the session table is",
	find: func(f Facts) []Finding {
		if f.Daemon == nil {
			return nil
		}
		c := f.Daemon.Counters
		if c.MaxSessions == 0 || c.Sessions*10 < c.MaxSessions*8 {
			return nil
		}
		return []Finding{{
			Severity: Warning, What: fmt.Sprintf("the session table has %d of %d sessions", c.Sessions, c.MaxSessions),
			Why:     "when it is full, new flows are refused; those that exist live on",
			Command: "hostnat session list | less, then hostnat session delete or shorter timeouts by hostnat nat set",
		}}
	},
}

var eventsCheck = check{
	name: "events", looks: "whether watchers of events missed any",
	find: func(f Facts) []Finding {
		if f.Daemon == nil || f.Daemon.Counters.EventsLost == 0 {
			return nil
		}
		return []Finding{{
			Severity: Note, What: fmt.Sprintf("%d events were not delivered", f.Daemon.Counters.EventsLost),
			Why: "a program that watches events reads them too slowly; flows are not held up by that",
		}}
	},
}

var unreadCheck = check{
	name: "unread", looks: "what could not be looked at",
	find: func(f Facts) (found []Finding) {
		if !f.Root {
			found = append(found, Finding{
				Severity: Note, What: "doctor runs without root's rights and sees only part of the host",
				Why: "firewall rules and other users' programs cannot be read", Command: "sudo hostnat doctor",
			})
		}
		for _, line := range f.Host.Unread {
			found = append(found, Finding{Severity: Note, What: "not looked at: " + line, Why: "checks that need it find nothing"})
		}
		return found
	},
}
