package export

import (
	"log/slog"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const (
		sayIPFIX  = `; use udp:192.0.2.9, say`
		saySyslog = `; use udp:192.0.2.9 or unix:/dev/log, say`
	)
	tests := []struct{ kind, text, want, refusal string }{
		{"ipfix", "udp:192.0.2.9", "udp:192.0.2.9:4739", ""},
		{"ipfix", "tcp:192.0.2.9:99", "tcp:192.0.2.9:99", ""},
		{"ipfix", "udp:2001:db8::9", "udp:[2001:db8::9]:4739", ""},
		{"ipfix", "udp:[2001:db8::9]", "udp:[2001:db8::9]:4739", ""},
		{"ipfix", "udp:[2001:db8::9]:2055", "udp:[2001:db8::9]:2055", ""},
		{"ipfix", "udp:::ffff:192.0.2.9", "udp:192.0.2.9:4739", ""},
		{"syslog", "udp:192.0.2.9", "udp:192.0.2.9:514", ""},
		{"syslog", "tcp:127.0.0.1", "tcp:127.0.0.1:601", ""},
		{"syslog", "unix:/dev/log", "unix:/dev/log", ""},
		{"ipfix", "192.0.2.9", "", `--ipfix "192.0.2.9" does not begin with udp: or tcp:` + sayIPFIX},
		{"ipfix", "unix:/dev/log", "", `--ipfix "unix:/dev/log" does not begin with udp: or tcp:` + sayIPFIX},
		{"ipfix", "", "", `--ipfix "" does not begin with udp: or tcp:` + sayIPFIX},
		{"syslog", "tls:192.0.2.9", "", `--syslog "tls:192.0.2.9" does not begin with udp:, tcp: or unix:` + saySyslog},
		{"syslog", "unix:log", "", `--syslog "unix:log" has no path that begins with a slash` + saySyslog},
		{"ipfix", "udp:collector.example:4739", "", `--ipfix "udp:collector.example:4739" has no IP address with or without a port; names are not looked up` + sayIPFIX},
		{"ipfix", "udp:", "", `--ipfix "udp:" has no IP address with or without a port; names are not looked up` + sayIPFIX},
		{"ipfix", "udp:192.0.2.9:70000", "", `--ipfix "udp:192.0.2.9:70000" has no IP address with or without a port; names are not looked up` + sayIPFIX},
		{"ipfix", "udp:192.0.2.9:0", "", `--ipfix "udp:192.0.2.9:0" has the port 0` + sayIPFIX},
		{"ipfix", "udp:fe80::1%eth0", "", `--ipfix "udp:fe80::1%eth0" is an address of one link alone` + sayIPFIX},
		{"ipfix", "udp:169.254.1.1", "", `--ipfix "udp:169.254.1.1" is an address of one link alone` + sayIPFIX},
		{"ipfix", "udp:0.0.0.0", "", `--ipfix "udp:0.0.0.0" is no address of one machine` + sayIPFIX},
		{"ipfix", "udp:224.0.0.1", "", `--ipfix "udp:224.0.0.1" is no address of one machine` + sayIPFIX},
		{"ipfix", "udp:255.255.255.255:1", "", `--ipfix "udp:255.255.255.255:1" is no address of one machine` + sayIPFIX},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+tt.text, func(t *testing.T) {
			t.Parallel()
			d, err := Parse(tt.kind, tt.text)
			if tt.refusal != "" {
				if err == nil || err.Error() != tt.refusal {
					t.Errorf("refusal %v\nwant    %s", err, tt.refusal)
				}
				return
			}
			if err != nil || d.String() != tt.want || d.Kind != tt.kind {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
}

func TestWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Options{
		"--ipfix udp:192.0.2.9:4739 is given twice; once is enough":                                     {IPFIX: []string{"udp:192.0.2.9", "udp:192.0.2.9:4739"}},
		"--export-remotes has nothing to add to; add --ipfix or --syslog":                               {Remotes: true},
		`--syslog "x" does not begin with udp:, tcp: or unix:; use udp:192.0.2.9 or unix:/dev/log, say`: {Syslog: []string{"x"}},
	} {
		o.Log = slog.New(slog.DiscardHandler)
		if _, err := New(o); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
