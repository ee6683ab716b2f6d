package extcap

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
)

type daemon struct{ asked []string }

func (*daemon) Networks(context.Context) ([]api.Network, error) {
	return []api.Network{{Name: "web"}}, nil
}

func (*daemon) Endpoints(context.Context, string) ([]api.Endpoint, error) {
	return []api.Endpoint{{Name: "c1", Network: "web"}}, nil
}

func (d *daemon) Capture(_ context.Context, o api.CaptureOptions) (io.ReadCloser, error) {
	d.asked = append(d.asked, o.Filter)
	if strings.Contains(o.Filter, "hots") {
		return nil, errors.New(`filter: "hots" is no condition`)
	}
	return io.NopCloser(strings.NewReader("packets")), nil
}

type fifo struct{ bytes.Buffer }

func (*fifo) Close() error { return nil }

func TestWhatWiresharkAsks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args, out, packets, failure string
		asked                       []string
	}{
		{args: "--extcap-interfaces --extcap-version=4.0", out: `extcap {version=1.0}{help=https://www.wireshark.org}{display=hostnat}
interface {value=hostnat}{display=hostnat: all packets}
interface {value=hostnat-network-web}{display=hostnat: network web}
interface {value=hostnat-endpoint-c1}{display=hostnat: endpoint c1 of web}
`},
		{args: "--extcap-interface hostnat --extcap-dlts", out: "dlt {number=1}{name=EN10MB}{display=Ethernet}\n"},
		{args: "--extcap-interface hostnat --extcap-config", out: "arg {number=0}{call=--filter}{display=Filter}{type=string}{tooltip=as of hostnat capture: tcp port 443 and verdict dropped}\n"},
		{args: "--extcap-interface hostnat --extcap-capture-filter hots", out: "filter: \"hots\" is no condition\n", asked: []string{"hots"}},
		{args: "--extcap-interface hostnat --extcap-capture-filter tcp", asked: []string{"tcp"}},
		{args: "--capture --extcap-interface hostnat --fifo f", packets: "packets", asked: []string{""}},
		{args: "--capture --extcap-interface hostnat-endpoint-c1 --fifo f --filter udp --extcap-capture-filter tcp", packets: "packets", asked: []string{"(endpoint c1) and (tcp) and (udp)"}},
		{args: "--capture --extcap-interface eth0 --fifo f", failure: `there is no interface "eth0"`},
		{args: "--capture --extcap-interface hostnat-endpoint- --fifo f", failure: `there is no interface "hostnat-endpoint-"`},
		{args: "--capture --extcap-interface hostnat", failure: "--fifo is missing"},
		{args: "--extcap-interface hostnat", failure: "nothing was asked for"},
		{args: "", failure: "--extcap-interface is missing; this is for Wireshark's folder of capture programs, see docs/capture.md"},
	} {
		d, out, to := &daemon{}, &bytes.Buffer{}, &fifo{}
		p := Program{Daemon: d, Version: "1.0", Args: strings.Fields(c.args), Out: out, Open: func(string) (io.WriteCloser, error) { return to, nil }}
		failure := ""
		if err := p.Run(t.Context()); err != nil {
			failure = err.Error()
		}
		if diff := cmp.Diff([]string{c.out, c.packets, c.failure, strings.Join(c.asked, "|")}, []string{out.String(), to.String(), failure, strings.Join(d.asked, "|")}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.args, diff)
		}
	}
}
