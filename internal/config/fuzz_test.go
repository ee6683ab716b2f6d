package config

import (
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// lines are texts that parsers have got wrong elsewhere.
var lines = []string{
	"", ":", "/", "-", "*", "*:", "*:80", "80", "0", "65536", "80abc", "080", "+80", "1-2", "2-1", "-", "1-",
	"172.16.1.0/24", "172.016.1.0/24", "1.2.3.4", "1.2.3.4:80", "1.2.3.4:1-2", "1.2.3.4/0", "1.2.3.4/032", "0.0.0.0/0",
	"c1:80", "c1", "c1:80,c2:80", "c1:80-89,c2:80-89", "c1:80,c1:80", ",", "90-99", "*:90-99", "1.2.3.4:99-90", "::1", "[::1]:80", "::ffff:1.2.3.4", "fe80::1%eth0", "fe80::1%a\nb", "1.2.3.4\n", "c1:80\x00", strings.Repeat("9", 400),
}

func FuzzAddMapping(f *testing.F) {
	for _, s := range lines {
		f.Add("tcp", s, "c1:80", "10.0.0.0/8")
		f.Add("udp", "90", s, "")
		f.Add(s, "90", "c1:80", s)
	}
	f.Fuzz(func(t *testing.T, protocol, external, internal, from string) {
		c := testConfig(t)
		before := c.Clone()
		m, err := c.AddMapping(MappingSpec{Protocol: protocol, External: external, Internal: internal, From: []string{from}}, noPort)
		if err != nil {
			refused(t, err, model.CodeOf(err))
			unchanged(t, before, c)
			return
		}
		if m.ID == 0 || m.External.Ports.Low == 0 || m.External.Count() < 1 || len(m.Targets) == 0 {
			t.Errorf("%+v", m)
		}
		for _, to := range m.Targets {
			network, err := c.Network(to.Network)
			if err != nil || to.Internal.Ports.Low == 0 || to.Internal.Count() != m.External.Count() || !network.Subnet4().Contains(to.Internal.Address) {
				t.Errorf("%+v: target %+v, %v", m, to, err)
			}
		}
	})
}

func FuzzAddEndpoint(f *testing.F) {
	for _, s := range lines {
		f.Add("e", s, "", "", "", s, "", "")
		f.Add(s, "", s, "", "", "", s, "")
		f.Add("e", "", "", s, "", "", "", s)
		f.Add("e", "", "", "", s, "", "", s)
	}
	f.Fuzz(func(t *testing.T, name, netns, pid, tap, port, address, mac, ifname string) {
		c := testConfig(t)
		before := c.Clone()
		e, err := c.AddEndpoint(EndpointSpec{Network: "web", Name: name, Netns: netns, PID: pid, TAP: tap, Port: port,
			Address: address, MAC: mac, IfName: ifname}, hostFacts(), lowest)
		if err != nil {
			refused(t, err, model.CodeOf(err))
			unchanged(t, before, c)
			return
		}
		if model.CheckLink("link", e.Interface) != nil || !c.Networks[0].Subnet4().Contains(e.Address4()) || e.MAC == "" || e.Target == "" {
			t.Errorf("%+v", e)
		}
	})
}

func FuzzSetNAT(f *testing.F) {
	for _, key := range append(SettingKeys(), "colour") {
		for _, value := range []string{"300", "5m", "true", "winnat", "endpoint-independent", "", "-1", "1e9h", "9999999999999999999"} {
			f.Add(key, value)
		}
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		c := NewConfig()
		n, err := c.SetNAT(model.DefaultNAT, map[string]string{key: value})
		if err != nil {
			refused(t, err, model.Invalid)
			return
		}
		for _, s := range []model.Seconds{n.Timeouts.UDP, n.Timeouts.ICMP, n.Timeouts.TCPEstablished, n.Timeouts.TCPTransitory} {
			if s < 1 || s > 30*24*3600 {
				t.Errorf("%s=%s gives %+v", key, value, n.Timeouts)
			}
		}
	})
}
