//go:build e2e

package e2e

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/dev/lab"
)

// TestExportIsReadByOthers: tshark and nfdump find the same events in what is exported, with
// the addresses of the session.
func TestExportIsReadByOthers(t *testing.T) {
	tshark, nfcapd, nfdump := need(t, "tshark"), need(t, "nfcapd"), need(t, "nfdump")
	flows, log := t.TempDir(), filepath.Join(t.TempDir(), "log")
	h := startHost(t, 1, "--ipfix", "udp:"+lab.RemoteAddress, "--syslog", "unix:"+log, "--export-remotes")
	next := listenLog(t, log)
	collector := launch(t, h.Remote, "nfcapd", nfcapd, "-w", flows, "-b", lab.RemoteAddress, "-p", "4739", "-t", "86400")
	pcap := filepath.Join(t.TempDir(), "ipfix.pcap")
	capturing := start(t, h.Remote, "tcpdump", need(t, "tcpdump"), "-U", "-i", "any", "-w", pcap, "udp port 4739")
	capturing.waitPrinted(t, "tcpdump: listening on", 20*time.Second)
	echo, err := lab.EchoServer(h.Remote, "tcp", lab.RemoteAddress+":7")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	h.daemon.stop(t) // the next one sends its templates to those who are there now
	h.startDaemon()
	h.attach("c1", "--netns", h.Endpoints[0].Name)
	seen, err := lab.Ask(t.Context(), h.Endpoints[0], "tcp", echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := h.sessions()[0]
	if s.External != seen {
		t.Fatalf("the session is %+v, and the remote sees %v", s, seen)
	}
	h.hostnat("session", "delete", "--endpoint", "c1")

	binding := fmt.Sprintf("tcp %v = %v to 0.0.0.0:0", s.Internal, s.External)
	session := fmt.Sprintf("tcp %v = %v to %v", s.Internal, s.External, s.Remote)
	want := []string{"8 " + binding, "4 " + session, "5 " + session, "9 " + binding}
	var got []string
	waitFor(t, 60*time.Second, "four events in what tshark reads", func() bool {
		got = readByTshark(t, tshark, pcap)
		return len(got) >= len(want)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tshark (-want +got):\n%s", diff)
	}
	collector.stop(t) // it writes what it has
	if diff := cmp.Diff(want, readByNfdump(t, nfdump, flows)); diff != "" {
		t.Errorf("nfdump (-want +got):\n%s", diff)
	}
	for i, name := range []string{"BindingCreate", "SessionCreate", "SessionDelete", "BindingDelete"} {
		message := next()
		part := fmt.Sprintf(` %s [hostnat@32473 id="%s" nat="default" network="web" compartment="default" endpoint="c1" protocol="tcp" internal="%v" external="%v"`,
			name, []string{"1006", "1001", "1005", "1007"}[i], s.Internal, s.External)
		if !strings.HasPrefix(message, "<30>1 ") || !strings.Contains(message, part) {
			t.Errorf("message %s\nwithout %s", message, part)
		}
	}
}

// readByTshark returns one line an event.
func readByTshark(t *testing.T, tshark, pcap string) (list []string) {
	t.Helper()
	fields := []string{
		"cflow.nat_event", "cflow.srcaddr", "cflow.srcport", "cflow.post_natsource_ipv4_address", "cflow.post_naptsource_transport_port",
		"cflow.internal_address_realm", "cflow.nat_instanceid", "cflow.dstaddr", "cflow.dstport",
	}
	args := []string{"-r", pcap, "-d", "udp.port==4739,cflow", "-T", "json", "--no-duplicate-keys"}
	for _, f := range append(fields, "cflow.template_id", "_ws.malformed", "cflow.unknown_field_type") {
		args = append(args, "-e", f)
	}
	var packets []struct {
		Source struct {
			Layers map[string][]string `json:"layers"`
		} `json:"_source"`
	}
	if err := json.Unmarshal([]byte(output(t, exec.Command(tshark, args...))), &packets); err != nil {
		return nil // tcpdump writes at this moment
	}
	for _, p := range packets {
		l := p.Source.Layers
		if l["_ws.malformed"] != nil || l["cflow.unknown_field_type"] != nil {
			t.Fatalf("tshark: %v", l)
		}
		remotes := 0
		for i, e := range l["cflow.nat_event"] {
			to := "0.0.0.0:0"
			if e == "4" || e == "5" { // the others have none
				to = l["cflow.dstaddr"][remotes] + ":" + l["cflow.dstport"][remotes]
				remotes++
			}
			if l["cflow.nat_instanceid"][i] != "1" || l["cflow.internal_address_realm"][i] != hex.EncodeToString([]byte("default")) {
				t.Errorf("tshark: %v", l)
			}
			list = append(list, fmt.Sprintf("%s tcp %s:%s = %s:%s to %s", e, l["cflow.srcaddr"][i], l["cflow.srcport"][i],
				l["cflow.post_natsource_ipv4_address"][i], l["cflow.post_naptsource_transport_port"][i], to))
		}
	}
	return list
}

// rawField is a line of a record that nfdump prints.
var rawField = regexp.MustCompile(`(?m)^ +(proto|src port|dst port|src addr|dst addr|src xlt ip|src xlt port|nat event) += +([0-9.]+)`)

// readByNfdump returns one line an event. nfdump 1.7.1 has no names for these, but numbers.
func readByNfdump(t *testing.T, nfdump, dir string) (list []string) {
	t.Helper()
	for _, record := range strings.Split(output(t, exec.Command(nfdump, "-R", dir, "-o", "raw")), "Flow Record:")[1:] {
		f := make(map[string]string)
		for _, m := range rawField.FindAllStringSubmatch(record, -1) {
			f[m[1]] = m[2]
		}
		if f["proto"] != "6" {
			t.Errorf("nfdump: %s", record)
		}
		list = append(list, fmt.Sprintf("%s tcp %s:%s = %s:%s to %s:%s", f["nat event"], f["src addr"], f["src port"], f["src xlt ip"], f["src xlt port"], f["dst addr"], f["dst port"]))
	}
	return list
}

// listenLog is a socket as syslog daemons have one. It returns what waits for the next message.
func listenLog(t *testing.T, path string) func() string {
	t.Helper()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return func() string {
		t.Helper()
		b := make([]byte, 4096)
		_ = l.SetReadDeadline(time.Now().Add(60 * time.Second))
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}
