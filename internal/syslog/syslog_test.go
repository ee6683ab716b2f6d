package syslog

import (
	"strings"
	"testing"
	"time"
)

var at = time.Date(2026, 11, 21, 13, 0, 0, 1_234_567, time.FixedZone("CET", 3600))

// TestMessages: as RFC 5424 sections 6 and 6.5 show them.
func TestMessages(t *testing.T) {
	t.Parallel()
	o := Origin{Facility: Daemon, Host: "host.example", App: "hostnat", PID: "42"}
	tests := []struct {
		name    string
		origin  Origin
		message Message
		want    string
	}{
		{"whole", o, Message{Information, at, "SessionCreate", "hostnat@32473", []Param{{"nat", "default"}, {"id", "1001"}}, "session created"},
			`<30>1 2026-11-21T12:00:00.001234Z host.example hostnat 42 SessionCreate [hostnat@32473 nat="default" id="1001"] session created`},
		{"escaped", o, Message{Warning, at, "X", "hostnat@32473", []Param{{"a", `"]\`}}, ""},
			`<28>1 2026-11-21T12:00:00.001234Z host.example hostnat 42 X [hostnat@32473 a="\"\]\\"]`},
		{"nothing known", Origin{}, Message{Time: at}, `<0>1 2026-11-21T12:00:00.001234Z - - - - -`},
		{"no spaces, no more than there is room for", Origin{Host: "a bé\n" + strings.Repeat("h", 300), PID: "\x7f"}, Message{Time: at},
			`<0>1 2026-11-21T12:00:00.001234Z ab` + strings.Repeat("h", 253) + ` - - - -`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := string(tt.origin.Append(nil, &tt.message)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	if got := string(Origin{}.AppendFramed([]byte("x"), &Message{Time: at})); got != "x42 <0>1 2026-11-21T12:00:00.001234Z - - - - -" {
		t.Errorf("framed: %s", got)
	}
}
