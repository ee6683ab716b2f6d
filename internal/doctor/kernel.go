package doctor

import "fmt"

var kernelCheck = check{
	name: "kernel", looks: "what the kernel has to have: TCX, BTF, the bpf filesystem, each tried",
	find: func(f Facts) (found []Finding) {
		for _, feature := range f.Host.Features {
			if feature.Missing == "" {
				continue
			}
			finding := Finding{
				Severity: Problem, Why: feature.Lost,
				What:    fmt.Sprintf("Linux %s has no %s: %s", f.Host.Kernel.Text, feature.Name, feature.Missing),
				Command: "install a kernel of Linux 6.6 or later with CONFIG_DEBUG_INFO_BTF=y",
			}
			found = append(found, finding)
		}
		return found
	},
}

const jitSysctl = "net/core/bpf_jit_enable"

var jitCheck = check{
	name: "jit", looks: "whether the kernel compiles BPF programs",
	find: func(f Facts) []Finding {
		if on, known := f.Host.Sysctl(jitSysctl); !known || on != 0 {
			return nil
		}
		return []Finding{{
			Severity: Warning, What: "the BPF JIT is off (net.core.bpf_jit_enable is 0)",
			Why:     "the data path is interpreted: several times slower, for each packet",
			Command: "sysctl -w net.core.bpf_jit_enable=1",
			fix:     &Fix{Sysctl: &Sysctl{Path: jitSysctl, Value: "1", Was: "0"}},
		}}
	},
}

var unprivilegedCheck = check{
	name: "unprivileged-bpf", looks: "whether users without rights may load BPF programs",
	find: func(f Facts) []Finding {
		if value, known := f.Host.Sysctl("kernel/unprivileged_bpf_disabled"); !known || value != 0 {
			return nil
		}
		return []Finding{{
			Severity: Note, What: "every user may load BPF programs (kernel.unprivileged_bpf_disabled is 0)",
			Why:     "hostnat does not need that, and most distributions forbid it, since it has been a way to root before",
			Command: "sysctl -w kernel.unprivileged_bpf_disabled=2",
		}}
	},
}

var forwardingCheck = check{
	name: "forwarding", looks: "net.ipv4.ip_forward",
	find: func(f Facts) []Finding {
		if on, _ := f.Host.Sysctl("net/ipv4/ip_forward"); on == 0 || len(f.Config.Networks) == 0 {
			return nil
		}
		return []Finding{{
			Severity: Note, What: "the host forwards packets (net.ipv4.ip_forward is 1)",
			Why:     "hostnat does not need it and leaves it as it is; Docker and libvirt turn it on for themselves. If nothing else needs it, it may be turned off",
			Command: "sysctl -w net.ipv4.ip_forward=0",
		}}
	},
}

var conntrackCheck = check{
	name: "conntrack", looks: "how full the host's connection table is",
	find: func(f Facts) []Finding {
		count, _ := f.Host.Sysctl("net/netfilter/nf_conntrack_count")
		limit, known := f.Host.Sysctl("net/netfilter/nf_conntrack_max")
		if !known || count*10 < limit*9 {
			return nil
		}
		return []Finding{{
			Severity: Note, What: fmt.Sprintf("the host's conntrack table has %d of %d entries", count, limit),
			Why:     "the host's own new connections will be dropped; those of endpoints will not: hostnat has a table of its own",
			Command: fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", limit*2),
		}}
	},
}
