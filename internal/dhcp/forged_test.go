package dhcp

import (
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/hostnat/hostnat/internal/model"
)

// Another machine of the bridge sends what a client could send, with the client's
// MAC everywhere, from a port of its own. The client's lease stays as it is.
func TestForgedFromAnotherPort(t *testing.T) {
	t.Parallel()
	victim, forger := Sender{Port: 1, MAC: "02:00:00:00:00:70"}, Sender{Port: 2, MAC: "02:00:00:00:00:70"}
	vm := card(0x70, named("vm"))
	tests := []struct {
		name   string
		forged [][]byte
	}{
		{"release", [][]byte{vm.message(dhcpv4.MessageTypeRelease, has("172.16.1.15"))}},
		{"decline", [][]byte{vm.message(dhcpv4.MessageTypeDecline, wants("172.16.1.15"))}},
		{"release after a renewal", [][]byte{
			vm.message(dhcpv4.MessageTypeRequest, has("172.16.1.15")), vm.message(dhcpv4.MessageTypeRelease, has("172.16.1.15"))}},
		{"decline after an exchange", [][]byte{
			vm.message(dhcpv4.MessageTypeDiscover), vm.message(dhcpv4.MessageTypeRequest, wants("172.16.1.15"), server("172.16.1.1")),
			vm.message(dhcpv4.MessageTypeDecline, wants("172.16.1.15"))}},
		{"another address", [][]byte{
			vm.message(dhcpv4.MessageTypeDiscover, wants("172.16.1.16")), vm.message(dhcpv4.MessageTypeRequest, wants("172.16.1.16"), server("172.16.1.1"))}},
		{"another server's offer taken", [][]byte{vm.message(dhcpv4.MessageTypeRequest, wants("172.16.1.15"), server("172.16.1.2"))}},
		{"another name", [][]byte{card(0x70, named("evil")).message(dhcpv4.MessageTypeRequest, has("172.16.1.15"))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, table := webScope(), newTable()
			if got := short(Answer(s, table, vm.message(dhcpv4.MessageTypeRequest, wants("172.16.1.15")), victim, start)); got.Kind != "ACK" {
				t.Fatalf("the client gets %+v", got)
			}
			for _, m := range tt.forged {
				Answer(s, table, m, forger, start)
			}
			e, ok := table.of("02:00:00:00:00:70")
			if !ok || e.Address != addr("172.16.1.15") || e.State != model.LeaseBound || e.Hostname != "vm" || e.port != victim.Port {
				t.Fatalf("the client's lease: %+v", e)
			}
			if out := Answer(s, table, vm.message(dhcpv4.MessageTypeRelease, has("172.16.1.15")), victim, start); len(out.Changed) != 1 {
				t.Errorf("the client cannot release any more: %s", out.Why)
			}
		})
	}
}

// A machine that was moved to another port is the client there once the old port is gone.
func TestClientMovesToAnotherPort(t *testing.T) {
	t.Parallel()
	s, table := webScope(), newTable()
	vm := card(0x70)
	Answer(s, table, vm.message(dhcpv4.MessageTypeRequest, wants("172.16.1.15")), Sender{Port: 1}, start)
	there := map[int]bool{1: true, 2: true}
	moved := Sender{Port: 2, HasPort: func(port int) bool { return there[port] }}
	renew := vm.message(dhcpv4.MessageTypeRequest, has("172.16.1.15"))
	release := vm.message(dhcpv4.MessageTypeRelease, has("172.16.1.15"))
	if got := short(Answer(s, table, renew, moved, start)); got.Kind != "ACK" {
		t.Errorf("while the old port is there it gets %+v", got)
	}
	if out := Answer(s, table, release, moved, start); !out.Forged {
		t.Errorf("while the old port is there: %+v", out)
	}
	delete(there, 1)
	if got := short(Answer(s, table, renew, moved, start)); got.Kind != "ACK" {
		t.Errorf("it gets %+v", got)
	}
	if out := Answer(s, table, release, moved, start); len(out.Changed) != 1 {
		t.Errorf("its release: %s", out.Why)
	}
}

// After a restart nobody knows behind which port a client is: who releases its
// address before it was seen may be anybody.
func TestReleaseAfterARestart(t *testing.T) {
	t.Parallel()
	s, table := webScope(), newTable(model.Lease{Network: "web", Address: addr("172.16.1.15"), MAC: "02:00:00:00:00:70", State: model.LeaseBound, Since: start, Expires: start.Add(time.Hour)})
	release := card(0x70).message(dhcpv4.MessageTypeRelease, has("172.16.1.15"))
	if out := Answer(s, table, release, Sender{Port: 1}, start); len(out.Changed) != 0 {
		t.Errorf("somebody's release ends it: %+v", out)
	}
	Answer(s, table, card(0x70).message(dhcpv4.MessageTypeRequest, has("172.16.1.15")), Sender{Port: 1}, start)
	if out := Answer(s, table, release, Sender{Port: 1}, start); len(out.Changed) != 1 {
		t.Errorf("after it has renewed: %s", out.Why)
	}
}
