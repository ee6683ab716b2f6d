package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// setting is a key of `set`, as help and completion show it.
type setting struct {
	key, value string // what may stand behind "="
	meaning    string
}

// setCommand changes settings of one thing by KEY=VALUE. change does it and
// prints the result.
func setCommand(a *app, what string, known names, settings []setting,
	change func(cmd *cobra.Command, name string, values map[string]string) error,
) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set NAME KEY=VALUE...", Short: "Change settings of a " + what, Args: positional("NAME", "KEY=VALUE..."),
		Long: "Change settings of a " + what + ": all of them or, if one is refused, none. They take effect at once.\n\n" + settingsHelp(settings),
		RunE: func(cmd *cobra.Command, args []string) error {
			values, err := parseSettings(cmd, args[1:])
			if err != nil {
				return err
			}
			return change(cmd, args[0], values)
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return a.arguments(known)(cmd, args, typed)
		}
		keys := namesOf(settings, func(s setting) string { return cobra.CompletionWithDesc(s.key+"=", s.meaning) })
		return keys, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// settingsHelp is a line a setting, in columns.
func settingsHelp(settings []setting) string {
	width := 0
	for _, s := range settings {
		width = max(width, len(s.key)+len("=")+len(s.value))
	}
	var text strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&text, "  %-*s  %s\n", width, s.key+"="+s.value, s.meaning)
	}
	return strings.TrimSuffix(text.String(), "\n")
}

func parseSettings(cmd *cobra.Command, args []string) (map[string]string, error) {
	settings := map[string]string{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, usagef(cmd, "%q is not KEY=VALUE", arg)
		}
		if value == "" {
			return nil, usagef(cmd, "%s has no value", key)
		}
		if _, dup := settings[key]; dup {
			return nil, usagef(cmd, "%s is given twice", key)
		}
		settings[key] = value
	}
	return settings, nil
}

// natSettings are the keys of config.SettingKeys.
var natSettings = []setting{
	{"profile", "rfc|winnat", "all timeouts, filtering and hold-down at once"},
	{"udp-timeout", "TIME", "a UDP session without traffic ends after it (300s; winnat: 120s)"},
	{"udp-inbound-refresh", "on|off", "packets from outside keep a UDP session alive too (off)"},
	{"tcp-established-timeout", "TIME", "the same of an open connection (7440s; winnat: 1800s)"},
	{"tcp-transitory-timeout", "TIME", "of one that is being opened or closed (240s; winnat: 120s)"},
	{"icmp-timeout", "TIME", "of a ping (60s; winnat: 30s)"},
	{"filtering", "RULE", "which remotes may send to a port that an endpoint uses; see below"},
	{"tcp-filtering", "RULE", "the same for TCP alone"},
	{"udp-filtering", "RULE", "the same for UDP alone"},
	{"external-interface", "IF,...|any", "use the addresses of these interfaces alone (any)"},
	{"pooling", "paired|arbitrary", "whether an endpoint keeps to one of several external addresses (paired)"},
	{"hold-down", "TIME", "a freed UDP port or ICMP identifier stays unused: 0 to 3600s (120s; winnat: 0)"},
	{"endpoint-dependent", "on|off", "go on with one port for several remotes when all are used (on)"},
	{"exhaustion", "prohibited|unreachable|silent", "what a sender is told for whom nothing is left (prohibited)"},
	{"table", "N|none", "everything leaves by this routing table of the host's or not at all, whatever its rules say (none)"},
	{"max-sessions", "N", "an endpoint's sessions at once; 0: half of what the table holds (0)"},
	{"max-ports", "N", "an endpoint's external ports at once; 0 or none: no limit (0)"},
	{"max-rate", "N", "an endpoint's new sessions a second; 0 or none: no limit (0)"},
	{"link-local", "refuse|allow", "whether endpoints reach 169.254.0.0/16 outside, where clouds have metadata services (refuse)"},
	{"mss-clamp", "on|off", "lower TCP's segment size to what the way out carries (off)"},
}

// endpointSettings are the keys of config.SetEndpoint.
var endpointSettings = []setting{
	{"allow", "CIDR,...|none", "further addresses that it may send from and is reached at; 0.0.0.0/0: it forwards for its neighbours (none)"},
	{"aliases", "NAME,...|none", "further names in DNS (none)"},
}

// networkSettings are the keys of config.NetworkSettingKeys.
var networkSettings = []setting{
	{"isolation", "on|off|endpoint", "off: open to other networks with off; endpoint: not even its own endpoints reach each other (on)"},
	{"port-security", "on|off", "whether what other tools plug into the bridge is checked; off where a whole LAN is behind a port (on)"},
	{"dhcp", "on|off", "whether clients get addresses by DHCP (on)"},
	{"lease-time", "TIME", "how long a client has its address (1h)"},
	{"range", "LO-HI,...|all", "clients get addresses from here (all)"},
	{"exclude", "LO-HI,...|none", "never given out unless asked for (none)"},
	{"routes", "PREFIX=GATEWAY,...|none", "further routes that clients are told (none)"},
	{"ntp", "ADDRESS,...|none", "time servers that clients are told (none)"},
	{"pxe-next-server", "ADDRESS|none", "who has the boot file for machines that boot from the network (none)"},
	{"pxe-server-name", "NAME|none", "name of the TFTP server, option 66; none: the address of pxe-next-server (none)"},
	{"pxe-boot-file", "FILE|none", "the boot file, option 67 (none)"},
	{"mtu", "BYTES|auto", "of endpoints; auto follows the outgoing interface (auto)"},
	{"dns", "on|off", "whether the gateway answers for names (on)"},
	{"domain", "DOMAIN", "the domain that endpoints' names are in (NAME.internal)"},
	{"overlap", "keep|renumber", "what to do when the host's own network comes to overlap the subnet (keep)"},
}
